//! Folding.

/// A batch norm that cannot be folded into a layer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FoldError {
    /// A weight with too few axes, or with its outputs and inputs on one.
    #[error("a weight of shape {shape:?} has no axes {output} and {input} of outputs and inputs")]
    Axes {
        /// The weight's shape.
        shape: Vec<usize>,
        /// The axis of the outputs.
        output: isize,
        /// The axis of the inputs.
        input: isize,
    },
    /// Groups that do not divide the axis whose channels they share out.
    #[error("{groups} groups do not divide the {channels} channels of a weight of shape {shape:?}")]
    Groups {
        /// The groups given.
        groups: usize,
        /// The channels that they share out.
        channels: usize,
        /// The weight's shape.
        shape: Vec<usize>,
    },
    /// A layer with another number of channels than the batch norm.
    #[error("a weight of shape {shape:?} has {got} {side} channels, the batch norm has {expected}")]
    Channels {
        /// The weight's shape.
        shape: Vec<usize>,
        /// "output" or "input".
        side: &'static str,
        /// The layer's channels on that side.
        got: usize,
        /// The batch norm's.
        expected: usize,
    },
    /// A layer behind the batch norm that adds zeros at its border, or whose outputs at the border have fewer terms: what
    /// the batch norm shifts by would have to be left out there.
    #[error(
        "channel {channel} is shifted by {shift:?}, which {layer} does not see at its border: no weights do the same"
    )]
    Border {
        /// "a padded layer" or "a transposed convolution".
        layer: &'static str,
        /// The first channel that is shifted.
        channel: usize,
        /// What the batch norm adds to it.
        shift: f64,
    },
    /// A folded value that the weight's type does not hold.
    #[error("value {index} of the folded {tensor} is {got:e}, which its type does not hold")]
    Overflow {
        /// "weight" or "bias".
        tensor: &'static str,
        /// Its place.
        index: usize,
        /// The value.
        got: f64,
    },
}
