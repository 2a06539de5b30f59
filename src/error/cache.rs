//! Kept pipelines.

/// Bytes of a pipeline cache that a context did not take. It goes on without them.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The device was made without `Features::PIPELINE_CACHE`, or its backend has none.
    #[error("the device keeps no pipeline cache: it was made without Features::PIPELINE_CACHE")]
    Unsupported,
    /// Bytes that begin as no pipeline cache of this library does, or as one of another version.
    #[error("this is no pipeline cache of this version of wgpu-batchnorm")]
    NoCache,
    /// Fewer or more bytes than there were.
    #[error("the pipeline cache has {got} bytes, expected {expected}")]
    Length {
        /// Bytes given.
        got: u64,
        /// Bytes that there were when the cache was written.
        expected: u64,
    },
    /// Bytes that changed since they were written.
    #[error("the pipeline cache is damaged: its checksum does not match")]
    Damaged,
    /// The cache of another adapter, or of another version of the driver.
    #[error("the pipeline cache is of {got:?}, expected {expected:?}")]
    OtherDriver {
        /// Adapter and driver that wrote it.
        got: String,
        /// Adapter and driver here.
        expected: String,
    },
    /// wgpu or the driver did not take it.
    #[error("the pipeline cache was refused: {reason}")]
    Refused {
        /// What wgpu said.
        reason: String,
    },
}
