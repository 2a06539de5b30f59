//! Saving and loading.

/// Layer state that cannot be loaded or saved.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Not a safetensors file.
    #[error("not a valid safetensors file: {reason}")]
    Format {
        /// What the parser said.
        reason: String,
    },
    /// A tensor that must be there.
    #[error("tensor {name:?} is missing")]
    Missing {
        /// Its name, prefix included.
        name: String,
    },
    /// A tensor that has no place in this layer.
    #[error("tensor {name:?} has no place in a layer made without it")]
    Unexpected {
        /// Its name, prefix included.
        name: String,
    },
    /// A tensor of another element type than expected.
    #[error("tensor {name:?} has dtype {got}, expected {expected}")]
    Dtype {
        /// Its name, prefix included.
        name: String,
        /// Its dtype.
        got: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A tensor of another shape than expected.
    #[error("tensor {name:?} has shape {got:?}, expected {expected:?}")]
    Shape {
        /// Its name, prefix included.
        name: String,
        /// Its shape.
        got: Vec<usize>,
        /// What was expected.
        expected: Vec<usize>,
    },
    /// A count no layer can have.
    #[error("tensor {name:?} holds {got}, expected {expected}")]
    Value {
        /// Its name, prefix included.
        name: String,
        /// The value found.
        got: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A value that no channel can have.
    #[error("tensor {name:?} holds {got:?} in channel {channel}, expected {expected}")]
    Channel {
        /// Its name, prefix included.
        name: String,
        /// The channel.
        channel: usize,
        /// The value found.
        got: f32,
        /// What was expected.
        expected: &'static str,
    },
    /// Two layers that would be written under one prefix.
    #[error("two layers have the prefix {prefix:?}")]
    RepeatedPrefix {
        /// The prefix.
        prefix: String,
    },
    /// A prefix under which a file has no tensor of a layer.
    #[error(
        "no tensor of a layer has the prefix {prefix:?}: neither weight, bias, running_mean, running_var nor \
         num_batches_tracked"
    )]
    Prefix {
        /// The prefix given.
        prefix: String,
    },
}
