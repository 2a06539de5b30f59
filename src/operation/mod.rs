//! One description of each operation: which kernels run on which grids, which buffers they bind, and
//! what those are called and hold. It knows nothing of wgpu.
//!
//! Buffers ([`record`](crate::Plan)), images and the functional forms say only which operation they
//! want and which buffers their caller gave; bindings are made from what is said here.

mod buffers;
pub(crate) mod params;
mod steps;

pub(crate) use buffers::rows;
pub use buffers::{Buffer, Given, Holds};
pub use steps::Stage;
pub(crate) use steps::{Asked, Step};

use crate::config::Config;
use crate::error::ConfigError;
use crate::shaders::Role;
use crate::shape::View;

/// All operations there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Training forward.
    Train,
    /// Training forward on a part of a batch, from the moments of the whole.
    TrainPart,
    /// Inference.
    Inference,
    /// The moments of a batch, or of a part of one.
    Moments,
    /// The moments of two parts into those of both.
    MergeMoments,
    /// Backward through batch statistics; without dx, the sums of a part of a batch.
    Backward,
    /// dx of a part of a batch, from the sums of the whole.
    BackwardPart,
    /// Backward with running statistics held constant.
    BackwardFrozen,
    /// Training forward on an image.
    ImageTrain,
    /// Inference on an image.
    ImageInference,
    /// The statistics of an image, for a render pass to normalize by.
    ImageStatistics,
    /// A render pass that normalizes an image by what training saved.
    ImageRenderSaved,
    /// The same by running statistics.
    ImageRenderRunning,
    /// The functional normalization by given statistics.
    Normalize,
}

impl Operation {
    /// All of them.
    #[cfg(any(test, feature = "internals"))]
    pub const ALL: [Self; 14] = [
        Self::Train,
        Self::TrainPart,
        Self::Inference,
        Self::Moments,
        Self::MergeMoments,
        Self::Backward,
        Self::BackwardPart,
        Self::BackwardFrozen,
        Self::ImageTrain,
        Self::ImageInference,
        Self::ImageStatistics,
        Self::ImageRenderSaved,
        Self::ImageRenderRunning,
        Self::Normalize,
    ];

    /// What it is called in debug groups.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "training forward",
            Self::TrainPart => "training forward of a part",
            Self::Inference => "inference",
            Self::Moments => "moments",
            Self::MergeMoments => "merge of moments",
            Self::Backward => "backward",
            Self::BackwardPart => "backward of a part",
            Self::BackwardFrozen => "backward, frozen statistics",
            Self::ImageTrain => "image training forward",
            Self::ImageInference => "image inference",
            Self::ImageStatistics => "image statistics",
            Self::ImageRenderSaved | Self::ImageRenderRunning => "image render",
            Self::Normalize => "normalize",
        }
    }

    /// Whether the configuration allows the operation on this view, with these counts.
    pub(crate) fn validate(
        self,
        config: &Config,
        view: &View,
        asked: &Asked,
    ) -> Result<(), ConfigError> {
        let own = view.count() as u64;
        match self {
            Self::Train | Self::ImageTrain | Self::ImageStatistics => {
                config.validate_training(view)
            }
            Self::TrainPart | Self::BackwardPart => {
                config.validate_training_part(view, asked.count.unwrap_or(own))
            }
            Self::Backward => {
                // What a part's own count allows matters where its own statistics were used.
                let part = !asked.has(Role::Out);
                config.validate_training_part(view, if part { own.max(2) } else { own })
            }
            Self::Inference
            | Self::BackwardFrozen
            | Self::ImageInference
            | Self::ImageRenderRunning => match config.running {
                Some(_) => Ok(()),
                None => Err(ConfigError::NoRunningStatistics),
            },
            Self::MergeMoments => match asked.count.unwrap_or(own).min(asked.other_count) {
                0 => Err(ConfigError::Count { got: 0, least: 1 }),
                _ => Ok(()),
            },
            Self::Moments | Self::ImageRenderSaved | Self::Normalize => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
