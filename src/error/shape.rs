//! Shapes and axes.

use crate::element::Element;

/// A shape or an axis that batch normalization cannot use.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// Rank 0 or 1 where a batch axis and a channel axis are needed.
    #[error("shape {shape:?} has rank {}, expected at least 2 (or 1, under the ONNX preset)", shape.len())]
    Rank {
        /// The shape given.
        shape: Vec<usize>,
    },
    /// An axis outside `-rank..rank`.
    #[error("axis {axis} is out of range for shape {shape:?} of rank {}", shape.len())]
    Axis {
        /// The axis given.
        axis: isize,
        /// The shape given.
        shape: Vec<usize>,
    },
    /// The same axis named twice.
    #[error("axis {axis} is named twice")]
    RepeatedAxis {
        /// The axis, counted from the front.
        axis: usize,
    },
    /// An axis of length zero.
    #[error(
        "shape {shape:?} is empty: no axis may have length 0, but the first where it is the batch's"
    )]
    Empty {
        /// The shape given.
        shape: Vec<usize>,
    },
    /// More elements than this machine can address, or has memory for.
    #[error("shape {shape:?} has more elements than can be addressed")]
    Overflow {
        /// The shape given.
        shape: Vec<usize>,
    },
    /// A tensor stored as another element type than the others of its call.
    #[error("{tensor} holds {got:?}, expected {expected:?}")]
    Element {
        /// The tensor's name.
        tensor: &'static str,
        /// What it holds.
        got: Element,
        /// What it should.
        expected: Element,
    },
    /// Two shapes that should agree.
    #[error("{tensor} has shape {got:?}, expected {expected:?}")]
    Mismatch {
        /// The tensor's name.
        tensor: &'static str,
        /// Its shape.
        got: Vec<usize>,
        /// What was expected.
        expected: Vec<usize>,
    },
    /// A statistics tensor that does not spread over `x`.
    #[error("{tensor} of shape {got:?} does not broadcast over x of shape {x:?}")]
    Broadcast {
        /// The tensor's name.
        tensor: &'static str,
        /// Its shape.
        got: Vec<usize>,
        /// The shape of `x`.
        x: Vec<usize>,
    },
    /// Weights that do not spread over `x`, or that vary from channel to channel.
    #[error(
        "weights of shape {got:?} do not broadcast over x of shape {x:?} with length 1 where channels are"
    )]
    Weights {
        /// Their shape.
        got: Vec<usize>,
        /// The shape of `x`.
        x: Vec<usize>,
    },
    /// Weights that vary along axes between which they do not more often than kernels take.
    #[error(
        "weights of shape {got:?} vary along too many axes of x of shape {x:?} by turns, at most {limit} joined axes work"
    )]
    WeightAxes {
        /// Their shape.
        got: Vec<usize>,
        /// The shape of `x`.
        x: Vec<usize>,
        /// Axes that are left after joining neighbours.
        limit: usize,
    },
    /// Weights beside sub-batches, before a judge; elsewhere this is
    /// [`ConfigError::Combination`](super::ConfigError::Combination).
    #[error("sub-batches cannot be combined with weights")]
    WeightedSubBatches,
    /// A slice whose length does not fit its shape.
    #[error("{tensor} has {got} values, expected {expected}")]
    Length {
        /// The tensor's name.
        tensor: &'static str,
        /// Values given.
        got: usize,
        /// Values expected.
        expected: usize,
    },
    /// Bytes whose number does not fit their shape and element.
    #[error("{tensor} has {got} bytes, expected {expected}")]
    Bytes {
        /// The tensor's name.
        tensor: &'static str,
        /// Bytes given.
        got: usize,
        /// Bytes expected.
        expected: usize,
    },
    /// Axes that alternate between kept and reduced more often than the strided kernel takes.
    #[error(
        "shape {shape:?} alternates between kept and reduced axes {got} times, at most {limit} work"
    )]
    Alternations {
        /// The shape given.
        shape: Vec<usize>,
        /// Groups of axes after collapsing.
        got: usize,
        /// Groups the kernel takes.
        limit: usize,
    },
}
