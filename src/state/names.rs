//! What a layer's tensors are called in a file.

/// Whose names a file has for a layer's tensors. Each stands behind the layer's prefix.
///
/// | | γ | β | running mean | running variance |
/// |---|---|---|---|---|
/// | [`Names::Pytorch`] | `weight` | `bias` | `running_mean` | `running_var` |
/// | [`Names::Keras`] | `gamma` | `beta` | `moving_mean` | `moving_variance` |
/// | [`Names::Flax`] | `scale` | `bias` | `mean` | `var` |
/// | [`Names::Onnx`] | `scale` | `B` | `input_mean` | `input_var` |
/// | [`Names::Caffe`] | `weight` | `bias` | `0` | `1` |
///
/// The count is `num_batches_tracked` under all of them. Keras's names may end in `:0`. Flax's may have `params` and
/// `batch_stats` before the prefix, with a dot or a slash. Caffe keeps γ and β in a layer of their own, and its
/// third blob, `2`, divides mean and variance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Names {
    /// Those of the one library whose names fit.
    #[default]
    Auto,
    /// PyTorch's.
    Pytorch,
    /// Those of Keras and TensorFlow.
    Keras,
    /// Flax's.
    Flax,
    /// Those of ONNX's operator.
    Onnx,
    /// The numbers of Caffe's blobs.
    Caffe,
}

/// What a tensor of a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Weight,
    Bias,
    Mean,
    Variance,
    Count,
    /// What divides mean and variance.
    Factor,
}

const COUNT: (Part, &str) = (Part::Count, "num_batches_tracked");

impl Names {
    /// Every one but [`Names::Auto`], in the order in which they are tried.
    pub(super) const ALL: [Self; 5] = [
        Self::Pytorch,
        Self::Keras,
        Self::Flax,
        Self::Onnx,
        Self::Caffe,
    ];

    /// What it calls each tensor. [`Names::Auto`] calls them as PyTorch does: errors need a name.
    pub(super) fn parts(self) -> &'static [(Part, &'static str)] {
        use Part::{Bias, Factor, Mean, Variance, Weight};
        match self {
            Self::Auto | Self::Pytorch => &[
                (Weight, "weight"),
                (Bias, "bias"),
                (Mean, "running_mean"),
                (Variance, "running_var"),
                COUNT,
            ],
            Self::Keras => &[
                (Weight, "gamma"),
                (Bias, "beta"),
                (Mean, "moving_mean"),
                (Variance, "moving_variance"),
                COUNT,
            ],
            Self::Flax => &[
                (Weight, "scale"),
                (Bias, "bias"),
                (Mean, "mean"),
                (Variance, "var"),
                COUNT,
            ],
            Self::Onnx => &[
                (Weight, "scale"),
                (Bias, "B"),
                (Mean, "input_mean"),
                (Variance, "input_var"),
                COUNT,
            ],
            Self::Caffe => &[
                (Weight, "weight"),
                (Bias, "bias"),
                (Mean, "0"),
                (Variance, "1"),
                (Factor, "2"),
                COUNT,
            ],
        }
    }

    /// What it calls this one.
    pub(super) fn name_of(self, part: Part) -> &'static str {
        let named = self.parts().iter().find(|(other, _)| *other == part);
        named.map_or("", |(_, name)| name)
    }

    /// What may stand before a prefix.
    pub(super) fn roots(self) -> &'static [&'static str] {
        match self {
            Self::Flax => &["", "params.", "params/", "batch_stats.", "batch_stats/"],
            _ => &[""],
        }
    }

    /// What may stand behind a name.
    pub(super) fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Keras => &["", ":0"],
            _ => &[""],
        }
    }

    /// As an option and in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Pytorch => "pytorch",
            Self::Keras => "keras",
            Self::Flax => "flax",
            Self::Onnx => "onnx",
            Self::Caffe => "caffe",
        }
    }
}
