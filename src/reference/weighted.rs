//! The same operations where each value has a weight, w.
//!
//! W = Σw stands for the number of values. Values of weight 0 are left out of the statistics by selection: what they hold
//! does not matter there. Where such values are padding ([`Outside::Zero`](crate::Outside::Zero)), no sum has them, and results are 0 there.
//!
//! A weight that is negative or not finite leaves every channel without statistics: they are NaN.

use super::shares::Shares;
use super::{
    Gradients, Moments, backward_by, backward_frozen_by, moments_by, normalize_by,
    train_forward_by, update_running_by,
};
use crate::config::RunningUpdate;
use crate::error::ShapeError;
use crate::shape::View;
use crate::stats::{Parameters, RunningStatistics};
use crate::weights::Weights;

/// μ = Σwx/W and σ² = Σw(x−μ)²/W of every channel; NaN where W is 0.
///
/// # Errors
/// An `x` that is not as long as its view says, or weights of a tensor of another length.
pub fn weighted_moments(
    view: &View,
    x: &[f32],
    weights: &Weights<'_>,
) -> Result<Moments, ShapeError> {
    moments_by(view, x, &Shares::checked(view, weights)?)
}

/// `y = (x−μ)/√(σ²+eps)·γ + β` with the batch's own weighted statistics; 0 in padding.
///
/// A channel whose statistics are not finite in f32 is NaN, but for its padding. So is every channel where W is 0.
///
/// # Errors
/// A slice that is not as long as its view says, or weights of a tensor of another length.
pub fn weighted_train_forward(
    view: &View,
    x: &[f32],
    p: Parameters<'_>,
    eps: f32,
    weights: &Weights<'_>,
) -> Result<(Vec<f64>, Moments), ShapeError> {
    let shares = Shares::checked(view, weights)?;
    let batch = moments_by(view, x, &shares)?;
    Ok((train_forward_by(view, x, &shares, &batch, p, eps)?, batch))
}

/// [`update_running`](super::update_running) after a batch with these weights: W stands for the count. Where W is 0, and where it
/// is no more than 1 and the variance unbiased, nothing moves and the batch does not count.
///
/// # Errors
/// Running statistics, or a variance, of another number of channels than the mean of `batch`.
pub fn weighted_update_running(
    old: &RunningStatistics,
    batch: &Moments,
    weights: &Weights<'_>,
    running: RunningUpdate,
) -> Result<(Moments, Vec<u32>), ShapeError> {
    // The view only counts where there are no weights.
    let shares = Shares::of(&View::of_lengths(0, 1, 1), Some(*weights));
    update_running_by(old, &[(batch, shares)], running)
}

/// [`normalize`](super::normalize) with given statistics; 0 in padding.
///
/// # Errors
/// A slice that is not as long as its view says, statistics of another number of channels, or weights of a tensor of
/// another length.
pub fn weighted_normalize(
    view: &View,
    x: &[f32],
    s: &Moments,
    p: Parameters<'_>,
    eps: f32,
    weights: &Weights<'_>,
) -> Result<Vec<f64>, ShapeError> {
    normalize_by(view, x, &Shares::checked(view, weights)?, s, p, eps)
}

/// Gradients through weighted batch statistics:
/// `dβ = Σdy`, `dγ = Σdy·x̂`, `dx = γ·inv_std·(dy − w·(dβ + x̂·dγ)/W)`. The sums are not weighted.
///
/// In padding `dx` is 0. What is not finite is as in [`backward`](super::backward). Where W is 0, padding alone has dγ = dβ = 0;
/// with values that are normalized dγ and `dx` are NaN.
///
/// # Errors
/// A slice that is not as long as its view says, or weights of a tensor of another length.
pub fn weighted_backward<T: Into<f64> + Copy>(
    view: &View,
    x: &[f32],
    dy: &[T],
    weight: Option<&[f32]>,
    eps: f32,
    weights: &Weights<'_>,
) -> Result<Gradients, ShapeError> {
    let shares = Shares::checked(view, weights)?;
    let batch = moments_by(view, x, &shares)?;
    backward_by(view, x, dy, &shares, &batch, weight, eps)
}

/// [`backward_frozen`](super::backward_frozen) without padding: no sum has it, and `dx` is 0 there.
///
/// # Errors
/// A slice that is not as long as its view says, statistics of another number of channels, or weights of a tensor of
/// another length.
pub fn weighted_backward_frozen<T: Into<f64> + Copy>(
    view: &View,
    x: &[f32],
    dy: &[T],
    frozen: &Moments,
    weight: Option<&[f32]>,
    eps: f32,
    weights: &Weights<'_>,
) -> Result<Gradients, ShapeError> {
    let shares = Shares::checked(view, weights)?;
    backward_frozen_by(view, x, dy, &shares, frozen, weight, eps)
}
