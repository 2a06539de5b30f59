//! What came of an operation in the sweep.

use wgpu_batchnorm::check::Report;

/// An operation, the way its kernels went, and what came of it.
pub struct Outcome {
    pub operation: &'static str,
    pub variant: String,
    pub report: Report,
    /// A hash of every output tensor's bits.
    pub digests: Vec<(&'static str, u64)>,
}
