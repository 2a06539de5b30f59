//! Tuning files.

use super::DeviceError;

/// A tuning file that cannot be read, or that is not for this device. The context that was asked for is not made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TuningError {
    /// Not JSON, or a field is missing, unknown or of the wrong type.
    #[error("the tuning file is damaged: {reason}")]
    Damaged {
        /// What is wrong, and where.
        reason: String,
    },
    /// A file of another form than this version reads.
    #[error("the tuning file has schema {got}, expected {expected}")]
    Schema {
        /// The file's number.
        got: u64,
        /// The number that this version reads.
        expected: u64,
    },
    /// A size that nothing can be planned with, or that does not go with another.
    #[error("the tuning file's {size} is {got}, expected {expected}")]
    Size {
        /// The field of the file's `sizes`.
        size: &'static str,
        /// The file's value.
        got: u64,
        /// What is accepted.
        expected: &'static str,
    },
    /// Workgroups that are larger than the device's limits allow.
    #[error("the tuning file's workgroups need {needed} of {limit}, of which the device has {max}")]
    Limit {
        /// The limit's name in wgpu.
        limit: &'static str,
        /// What the file's sizes need.
        needed: u64,
        /// The device's value.
        max: u64,
    },
    /// A file that was made on another adapter.
    #[error("the tuning file is of the adapter {got:?}, expected {expected:?}")]
    OtherAdapter {
        /// The file's adapter: name, backend, vendor and device.
        got: String,
        /// The adapter here.
        expected: String,
    },
    /// A file that was made with another driver, or another version of it.
    #[error("the tuning file is of the driver {got:?}, expected {expected:?}")]
    OtherDriver {
        /// The file's driver.
        got: String,
        /// The driver here.
        expected: String,
    },
    /// The device cannot be used, whatever the sizes.
    #[error(transparent)]
    Device(#[from] DeviceError),
}
