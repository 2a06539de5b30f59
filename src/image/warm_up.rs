//! Pipelines for images, compiled before they are needed.

use wgpu::TextureFormat;

use super::{ImagePlan, texture};
use crate::context::Context;
use crate::error::BindError;
use crate::operation::{Asked, Operation};
use crate::shaders::Role;

/// An operation on images to compile ahead. A render pass needs none:
/// [`Context::image_render`] compiles when it is called.
#[derive(Clone, Copy, Debug)]
pub struct ImageWarmUp {
    operation: Operation,
    /// The format of `y`, where there is one.
    y: Option<TextureFormat>,
}

impl ImageWarmUp {
    /// [`ImagePlan::bind_train`] into an image seen as `y`.
    pub fn train(y: TextureFormat) -> Self {
        Self {
            operation: Operation::ImageTrain,
            y: Some(y),
        }
    }

    /// [`ImagePlan::bind_inference`] into an image seen as `y`.
    pub fn inference(y: TextureFormat) -> Self {
        Self {
            operation: Operation::ImageInference,
            y: Some(y),
        }
    }

    /// [`ImagePlan::bind_to_tensor`].
    pub fn to_tensor() -> Self {
        Self {
            operation: Operation::ImageToTensor,
            y: None,
        }
    }

    /// [`ImagePlan::bind_from_tensor`] into an image seen as `y`.
    pub fn from_tensor(y: TextureFormat) -> Self {
        Self {
            operation: Operation::ImageFromTensor,
            y: Some(y),
        }
    }

    /// [`ImagePlan::bind_statistics`].
    pub fn statistics() -> Self {
        Self {
            operation: Operation::ImageStatistics,
            y: None,
        }
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
        for &ImageWarmUp { operation, y } in operations {
            let mut asked = Asked {
                format: y.map(texture::written_format).transpose()?,
                ..Asked::default()
            };
            if y.is_some() || operation == Operation::ImageToTensor {
                asked.give(Role::Out);
            }
            operation.validate(&plan.config, &plan.view(), &asked)?;
            self.compile(operation, &plan.config, &plan.schedule, asked)?;
        }
        Ok(())
    }
}
