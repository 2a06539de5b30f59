//! A check that failed.

/// A result beyond its bound: the worst finding of a report.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
#[error("check failed: {finding}")]
pub struct CheckError {
    /// The tensor with the worst error over its bound.
    pub tensor: &'static str,
    /// Where the worst is: an element index, or a channel for per-channel tensors.
    pub index: usize,
    /// The worst error over its scale; infinite where finite and non-finite values disagree.
    pub error: f64,
    /// What the error was held to.
    pub bound: f64,
    /// The finding in words, with the value, what was expected, the error and its bound.
    pub finding: String,
}
