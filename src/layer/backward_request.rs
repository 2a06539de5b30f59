//! What a backward pass is asked to do.

use super::Saved;
use crate::tensor::Tensor;

/// What a backward pass computes. A `&`[`Saved`] alone asks for `dx`, `dweight` and `dbias`.
#[derive(Clone, Copy, Debug)]
pub struct BackwardRequest<'a> {
    pub(crate) saved: &'a Saved,
    pub(crate) dx: bool,
    pub(crate) dresidual: bool,
    pub(crate) add_into: Option<&'a Tensor>,
}

impl<'a> BackwardRequest<'a> {
    /// The gradients of the forward pass that left `saved`: `dx`, `dweight` and `dbias`.
    pub fn new(saved: &'a Saved) -> Self {
        Self {
            saved,
            dx: true,
            dresidual: false,
            add_into: None,
        }
    }

    /// Sets whether the input's gradient is wanted.
    pub fn with_dx(mut self, dx: bool) -> Self {
        self.dx = dx;
        self
    }

    /// Sets whether the residual's gradient is wanted. Without an activation it is `dy`.
    pub fn with_dresidual(mut self, dresidual: bool) -> Self {
        self.dresidual = dresidual;
        self
    }

    /// Adds `dweight` and `dbias` to what the rows of `gradients` hold, `[2, C]` in f32, and makes no rows
    /// of its own.
    pub fn with_add_into(mut self, gradients: impl Into<Option<&'a Tensor>>) -> Self {
        self.add_into = gradients.into();
        self
    }
}

impl<'a> From<&'a Saved> for BackwardRequest<'a> {
    fn from(saved: &'a Saved) -> Self {
        Self::new(saved)
    }
}
