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
        "no tensor of a layer has the prefix {prefix:?}: neither weight, bias, running_mean nor running_var, nor what other libraries call them"
    )]
    Prefix {
        /// The prefix given.
        prefix: String,
    },
    /// Several prefixes under which a layer stands, where none was given.
    #[error(
        "several layers have as many channels; give one of the prefixes {}",
        listed(prefixes)
    )]
    Prefixes {
        /// The prefixes.
        prefixes: Vec<String>,
    },
    /// Tensors of one layer by several libraries' names, where it was not said whose to take.
    #[error("the names of several libraries: {}; say whose to take", listed(names))]
    MixedNames {
        /// The tensors' names.
        names: Vec<String>,
    },
    /// A file without a tensor that has a name of a layer's.
    #[error("no tensor has a name of a layer's{}", likely(names, *channels))]
    Unrecognized {
        /// Those that have one value for each channel.
        names: Vec<String>,
        /// The channels.
        channels: usize,
    },
}

fn listed(names: &[String]) -> String {
    let quoted = names.iter().map(|name| format!("{name:?}"));
    quoted.collect::<Vec<_>>().join(", ")
}

fn likely(names: &[String], channels: usize) -> String {
    match names {
        [] => String::new(),
        names => format!(
            ", though there are tensors of {channels} values: {}",
            listed(names)
        ),
    }
}
