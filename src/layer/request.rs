//! What a forward or a backward pass is asked to do.

use super::Saved;
use crate::tensor::Tensor;

/// Which statistics a forward pass normalizes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The batch's own; running statistics move.
    Train,
    /// The running ones; the batch's own where the layer keeps none, as PyTorch does.
    Eval,
}

/// What a forward pass does. A [`Mode`] alone is such a request.
#[derive(Clone, Copy, Debug)]
pub struct ForwardRequest<'a> {
    pub(crate) mode: Mode,
    pub(crate) residual: Option<&'a Tensor>,
    pub(crate) in_place: bool,
}

impl<'a> ForwardRequest<'a> {
    /// A forward pass in this mode, without a residual, whose output is a tensor of its own.
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            residual: None,
            in_place: false,
        }
    }

    /// Adds `residual` before the activation: `y = g(BN(x) + residual)`, g the configuration's activation. It has
    /// the input's shape and element.
    pub fn with_residual(mut self, residual: impl Into<Option<&'a Tensor>>) -> Self {
        self.residual = residual.into();
        self
    }

    /// Puts `y` over `x`, without a tensor of its own. There is no backward pass after it, nor after an earlier
    /// forward pass that had this tensor as its `x` or its residual.
    pub fn with_in_place(mut self, in_place: bool) -> Self {
        self.in_place = in_place;
        self
    }
}

impl From<Mode> for ForwardRequest<'_> {
    fn from(mode: Mode) -> Self {
        Self::new(mode)
    }
}

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
