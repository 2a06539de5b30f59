//! Blocking twins.

use super::Checked;
use crate::check::Report;
use crate::error::Error;
use crate::functional::{AffineStep, DeviceMoments, Statistics};
use crate::layer::{BackwardRequest, BatchNorm, Forward, ForwardRequest, Gradients};
use crate::tensor::Tensor;

/// Blocking twin of [`super::forward`].
///
/// # Errors
/// As there.
pub fn forward_blocking<'a>(
    layer: &mut BatchNorm,
    x: &Tensor,
    request: impl Into<ForwardRequest<'a>>,
) -> Result<(Forward, Report), Error> {
    pollster::block_on(super::forward(layer, x, request))
}

/// Blocking twin of [`super::infer`].
///
/// # Errors
/// As there.
pub fn infer_blocking(layer: &BatchNorm, x: &Tensor) -> Result<(Tensor, Report), Error> {
    pollster::block_on(super::infer(layer, x))
}

/// Blocking twin of [`super::backward`].
///
/// # Errors
/// As there.
pub fn backward_blocking<'a>(
    layer: &BatchNorm,
    x: &Tensor,
    dy: &Tensor,
    request: impl Into<BackwardRequest<'a>>,
) -> Result<(Gradients, Report), Error> {
    pollster::block_on(super::backward(layer, x, dy, request))
}

/// Blocking twin of [`super::moments`].
///
/// # Errors
/// As there.
pub fn moments_blocking(
    x: &Tensor,
    axes: &[isize],
    keep_dims: bool,
) -> Result<(DeviceMoments, Report), Error> {
    pollster::block_on(super::moments(x, axes, keep_dims))
}

/// Blocking twin of [`super::weighted_moments`].
///
/// # Errors
/// As there.
pub fn weighted_moments_blocking(
    x: &Tensor,
    weights: &Tensor,
    axes: &[isize],
    keep_dims: bool,
) -> Result<(DeviceMoments, Report), Error> {
    pollster::block_on(super::weighted_moments(x, weights, axes, keep_dims))
}

/// Blocking twin of [`super::normalize`].
///
/// # Errors
/// As there.
pub fn normalize_blocking<'a>(
    x: &Tensor,
    statistics: impl Into<Statistics<'a>>,
    affine: AffineStep<'_>,
    eps: f32,
) -> Result<(Tensor, Report), Error> {
    pollster::block_on(super::normalize(x, statistics, affine, eps))
}

impl Checked {
    /// Blocking twin of [`Checked::forward`].
    ///
    /// # Errors
    /// As there.
    pub fn forward_blocking<'a>(
        &mut self,
        x: &Tensor,
        request: impl Into<ForwardRequest<'a>>,
    ) -> Result<Forward, Error> {
        pollster::block_on(self.forward(x, request))
    }

    /// Blocking twin of [`Checked::infer`].
    ///
    /// # Errors
    /// As there.
    pub fn infer_blocking(&self, x: &Tensor) -> Result<Tensor, Error> {
        pollster::block_on(self.infer(x))
    }

    /// Blocking twin of [`Checked::backward`].
    ///
    /// # Errors
    /// As there.
    pub fn backward_blocking<'a>(
        &self,
        x: &Tensor,
        dy: &Tensor,
        request: impl Into<BackwardRequest<'a>>,
    ) -> Result<Gradients, Error> {
        pollster::block_on(self.backward(x, dy, request))
    }
}
