//! Pipelines for images, compiled before they are needed.

use wgpu::TextureFormat;

use super::{ImagePlan, texture};
use crate::context::Context;
use crate::error::BindError;
use crate::operation::{Asked, AskedWeights, Operation};
use crate::shaders::Role;
use crate::weights::{Broadcast, Outside};

/// An operation on images to compile ahead. A render pass needs none:
/// [`Context::image_render`] compiles when it is called.
#[derive(Clone, Copy, Debug)]
pub struct ImageWarmUp {
    operation: Operation,
    /// The format of `y`, where there is one.
    y: Option<TextureFormat>,
    weighted: bool,
}

impl ImageWarmUp {
    /// [`ImagePlan::bind_train`] into an image seen as `y`.
    pub fn train(y: TextureFormat) -> Self {
        Self {
            operation: Operation::ImageTrain,
            y: Some(y),
            weighted: false,
        }
    }

    /// [`ImagePlan::bind_inference`] into an image seen as `y`.
    pub fn inference(y: TextureFormat) -> Self {
        Self {
            operation: Operation::ImageInference,
            y: Some(y),
            weighted: false,
        }
    }

    /// [`ImagePlan::bind_to_tensor`].
    pub fn to_tensor() -> Self {
        Self {
            operation: Operation::ImageToTensor,
            y: None,
            weighted: false,
        }
    }

    /// [`ImagePlan::bind_from_tensor`] into an image seen as `y`.
    pub fn from_tensor(y: TextureFormat) -> Self {
        Self {
            operation: Operation::ImageFromTensor,
            y: Some(y),
            weighted: false,
        }
    }

    /// [`ImagePlan::bind_statistics`].
    pub fn statistics() -> Self {
        Self {
            operation: Operation::ImageStatistics,
            y: None,
            weighted: false,
        }
    }

    /// With weights.
    pub fn with_weights(mut self) -> Self {
        self.weighted = true;
        self
    }
}

impl Context {
    /// Compiles what `bind_*` of `plan` will need, as [`Context::warm_up`] does for tensors.
    ///
    /// # Errors
    /// As there, and a format that `y` cannot have.
    pub fn warm_up_image(
        &self,
        plan: &ImagePlan,
        operations: &[ImageWarmUp],
    ) -> Result<(), BindError> {
        self.is_that_of(&plan.context)?;
        for &ImageWarmUp {
            operation,
            y,
            weighted,
        } in operations
        {
            let mut asked = Asked {
                format: y.map(texture::written_format).transpose()?,
                ..Asked::default()
            };
            if y.is_some() || operation == Operation::ImageToTensor {
                asked.give(Role::Out);
            }
            if weighted {
                asked.give(Role::Weights);
                asked.weights = Some(AskedWeights {
                    places: Broadcast::SAME,
                    outside: Outside::Normalize,
                    per_weight: false,
                });
            }
            operation.validate(&plan.config, &plan.view(), &asked)?;
            self.compile(operation, &plan.config, &plan.schedule, asked)?;
        }
        Ok(())
    }
}
