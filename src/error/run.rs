//! Running.

/// The machine failed while work was under way.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A result could not be mapped, though the device is there.
    #[error("reading back {bytes} bytes failed: {reason}")]
    Readback {
        /// Size of the read.
        bytes: u64,
        /// What wgpu said.
        reason: String,
    },
    /// The device is gone; make a new one.
    #[error("the device was lost: {reason}")]
    DeviceLost {
        /// What the driver said.
        reason: String,
    },
    /// There is no memory for a buffer. What was there before is as it was.
    #[error("the device is out of memory: {reason}")]
    OutOfMemory {
        /// What it was for, or what wgpu said.
        reason: String,
    },
    /// The device takes work and executes none of it: a driver without a GPU behind it, or a broken one.
    #[error("the device executes nothing of what is submitted to it")]
    NothingRan,
    /// wgpu refused or failed to carry out work: a fault of this crate, or of the caller's own
    /// use of the device.
    #[error("the device reported: {reason}")]
    Device {
        /// What wgpu said.
        reason: String,
    },
}
