//! What the configuration allows.

use super::{Asked, Operation};
use crate::config::Config;
use crate::error::ConfigError;
use crate::shaders::Role;
use crate::shape::View;

impl Operation {
    /// Whether the configuration allows the operation on this view, with these counts.
    pub(crate) fn validate(
        self,
        config: &Config,
        view: &View,
        asked: &Asked,
    ) -> Result<(), ConfigError> {
        let own = view.count() as f64;
        self.combines(asked)?;
        match self {
            // How much weight there is only the device sees.
            Self::TrainPart | Self::BackwardPart if asked.weights.is_some() => {
                config.validate_training_part(view, own.max(2.0))
            }
            Self::Train | Self::ImageTrain | Self::ImageStatistics => {
                config.validate_training(view)
            }
            Self::TrainPart | Self::BackwardPart => {
                config.validate_training_part(view, asked.count.unwrap_or(own))
            }
            Self::Backward => {
                // What a part's own count allows matters where its own statistics were used.
                let part = !asked.has(Role::Out);
                config.validate_training_part(view, if part { own.max(2.0) } else { own })
            }
            Self::Inference
            | Self::BackwardFrozen
            | Self::ImageInference
            | Self::ImageRenderRunning => match config.running {
                Some(_) => Ok(()),
                None => Err(ConfigError::NoRunningStatistics),
            },
            Self::ImageToTensor | Self::ImageFromTensor => {
                match asked.has(Role::Statistics) && config.running.is_none() {
                    true => Err(ConfigError::NoRunningStatistics),
                    false => Ok(()),
                }
            }
            Self::MergeMoments | Self::Moments | Self::ImageRenderSaved | Self::Normalize => Ok(()),
        }
    }
    /// Refuses what no dispatch has bindings for.
    fn combines(self, asked: &Asked) -> Result<(), ConfigError> {
        match self == Self::BackwardFrozen && asked.weights.is_some() && asked.through_residual {
            true => Err(ConfigError::Combination {
                what: "weights",
                with: "a residual before an activation, in backward through frozen statistics",
            }),
            false => Ok(()),
        }
    }
}
