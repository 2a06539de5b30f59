//! The oracle: plain f64 on the inputs as stored, one function an operation.
//!
//! Nothing here is fast and nothing is clever; it is meant to be checked by eye against the
//! formulas of Ioffe & Szegedy (2015), and is itself checked by finite differences and by the
//! results of other frameworks. Each call refuses slices that are not as long as their view says.

pub(crate) mod epilogue;
mod running;
mod shares;
mod sub_batched;
mod weighted;

pub use running::update_running;
pub(crate) use running::update_running_by;
pub(crate) use shares::Shares;
pub use sub_batched::{
    sub_batched_backward, sub_batched_train_forward, sub_batched_update_running,
};
pub use weighted::{
    weighted_backward, weighted_backward_frozen, weighted_moments, weighted_normalize,
    weighted_train_forward, weighted_update_running,
};

use crate::error::ShapeError;
use crate::shape::{View, check_channels, check_len, check_tensor};
use crate::stats::Parameters;

/// Mean and biased variance per channel, `[C]` each.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Moments {
    /// μ = Σx/m.
    pub mean: Vec<f64>,
    /// σ² = Σ(x−μ)²/m.
    pub variance: Vec<f64>,
}

impl Moments {
    /// Mean and biased variance per channel, `[C]` each.
    ///
    /// # Errors
    /// A variance with another number of values than the mean.
    pub fn new(mean: Vec<f64>, variance: Vec<f64>) -> Result<Self, ShapeError> {
        check_len("variance", variance.len(), mean.len())?;
        Ok(Self { mean, variance })
    }

    /// `1/√(σ²+eps)` of every channel, `[C]`; NaN where that is the root of a negative number.
    pub fn inv_std(&self, eps: f32) -> Vec<f64> {
        let of = |variance: &f64| 1.0 / (variance + f64::from(eps)).sqrt();
        self.variance.iter().map(of).collect()
    }

    /// Whether channel `c` has statistics that f32 can hold; where not, training gives NaN.
    pub(crate) fn is_finite(&self, c: usize) -> bool {
        (self.mean[c] as f32).is_finite() && (self.variance[c] as f32).is_finite()
    }

    /// Refuses statistics of another number of channels.
    pub(crate) fn check_lengths(&self, view: &View) -> Result<(), ShapeError> {
        check_channels(view, "mean", &self.mean)?;
        check_channels(view, "variance", &self.variance)
    }
}

/// Gradients in f64.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Gradients {
    /// ∂L/∂x, in the shape of `x`.
    pub dx: Vec<f64>,
    /// ∂L/∂γ, `[C]`.
    pub dweight: Vec<f64>,
    /// ∂L/∂β, `[C]`.
    pub dbias: Vec<f64>,
}

/// Mean and biased variance of every channel, in two passes.
///
/// # Errors
/// An `x` that is not as long as its view says.
pub fn moments(view: &View, x: &[f32]) -> Result<Moments, ShapeError> {
    moments_by(view, x, &Shares::of(view, None))
}

/// [`moments`] of the values that count, with their weights.
pub(crate) fn moments_by(
    view: &View,
    x: &[f32],
    shares: &Shares<'_>,
) -> Result<Moments, ShapeError> {
    check_tensor(view, "x", x)?;
    let m = shares.total;
    let channel_sum = |c: usize, f: &dyn Fn(f64) -> f64| -> f64 {
        let counted = view.runs(c).flatten().filter(|&i| shares.counts(i));
        counted.map(|i| shares.weight(i) * f(f64::from(x[i]))).sum()
    };
    let mean: Vec<f64> = (0..view.channels())
        .map(|c| channel_sum(c, &|v| v) / m)
        .collect();
    let variance = (0..view.channels())
        .map(|c| channel_sum(c, &|v| (v - mean[c]).powi(2)) / m)
        .collect();
    Ok(Moments { mean, variance })
}

/// `y = (x−μ)/√(σ²+eps)·γ + β` with the batch's own statistics.
///
/// A channel whose statistics are not finite in f32 is NaN throughout.
///
/// # Errors
/// A slice that is not as long as its view says.
pub fn train_forward(
    view: &View,
    x: &[f32],
    p: Parameters<'_>,
    eps: f32,
) -> Result<(Vec<f64>, Moments), ShapeError> {
    let shares = Shares::of(view, None);
    let batch = moments_by(view, x, &shares)?;
    Ok((train_forward_by(view, x, &shares, &batch, p, eps)?, batch))
}

/// [`train_forward`] with the batch's statistics given.
pub(crate) fn train_forward_by(
    view: &View,
    x: &[f32],
    shares: &Shares<'_>,
    batch: &Moments,
    p: Parameters<'_>,
    eps: f32,
) -> Result<Vec<f64>, ShapeError> {
    let mut y = normalize_by(view, x, shares, batch, p, eps)?;
    for c in (0..view.channels()).filter(|&c| !batch.is_finite(c)) {
        for i in view.runs(c).flatten().filter(|&i| !shares.is_padding(i)) {
            y[i] = f64::NAN;
        }
    }
    Ok(y)
}

/// `y = (x−μ)/√(σ²+eps)·γ + β` with given statistics; a variance below 0 that is not above it with `eps` gives NaN.
///
/// # Errors
/// A slice that is not as long as its view says, or statistics of another number of channels.
pub fn normalize(
    view: &View,
    x: &[f32],
    s: &Moments,
    p: Parameters<'_>,
    eps: f32,
) -> Result<Vec<f64>, ShapeError> {
    normalize_by(view, x, &Shares::of(view, None), s, p, eps)
}

/// [`normalize`] of what is no padding.
pub(crate) fn normalize_by(
    view: &View,
    x: &[f32],
    shares: &Shares<'_>,
    s: &Moments,
    p: Parameters<'_>,
    eps: f32,
) -> Result<Vec<f64>, ShapeError> {
    check_tensor(view, "x", x)?;
    s.check_lengths(view)?;
    p.check_lengths(view)?;
    let mut y = vec![0.0; x.len()];
    for (c, inv_std) in s.inv_std(eps).into_iter().enumerate() {
        let scale = if no_variance(s.variance[c], eps) {
            f64::NAN
        } else {
            inv_std * f64::from(p.weight(c))
        };
        for i in view.runs(c).flatten().filter(|&i| !shares.is_padding(i)) {
            y[i] = (f64::from(x[i]) - s.mean[c]) * scale + f64::from(p.bias(c));
        }
    }
    Ok(y)
}

/// Gradients through batch statistics:
/// `dβ = Σdy`, `dγ = Σdy·x̂`, `dx = γ·inv_std·(dy − dβ/m − x̂·dγ/m)`.
///
/// A dγ that is not finite in f32 is NaN. Of a channel whose statistics are not finite dγ and `dx` are NaN, and dβ is Σdy
/// all the same; where one of the sums is not finite in f32, `dx` is NaN.
///
/// # Errors
/// A slice that is not as long as its view says.
pub fn backward<T: Into<f64> + Copy>(
    view: &View,
    x: &[f32],
    dy: &[T],
    weight: Option<&[f32]>,
    eps: f32,
) -> Result<Gradients, ShapeError> {
    let shares = Shares::of(view, None);
    backward_by(view, x, dy, &shares, &moments(view, x)?, weight, eps)
}

/// [`backward`] with the batch's statistics given.
pub(crate) fn backward_by<T: Into<f64> + Copy>(
    view: &View,
    x: &[f32],
    dy: &[T],
    shares: &Shares<'_>,
    batch: &Moments,
    weight: Option<&[f32]>,
    eps: f32,
) -> Result<Gradients, ShapeError> {
    check_gradients(view, x, dy, batch, weight)?;
    // What the mean lost to its rounding: dy that does not sum to zero would multiply it by m.
    let lost = centered_means(view, x, shares, batch);
    let inv_stds = batch.inv_std(eps);
    let mut g = sums(view, x, dy, shares, batch, &lost, &inv_stds);
    let m = shares.total;
    for c in 0..view.channels() {
        g.keep_dweight(c, batch.is_finite(c) || shares.is_empty());
        let finite = g.dweight[c].is_finite() && (g.dbias[c] as f32).is_finite();
        let inv_std = inv_stds[c];
        let scale = f64::from(weight.map_or(1.0, |w| w[c])) * inv_std;
        for i in view.runs(c).flatten().filter(|&i| !shares.is_padding(i)) {
            let w = shares.weight(i);
            let xhat = ((f64::from(x[i]) - batch.mean[c]) - lost[c]) * inv_std;
            let inner = dy[i].into() - w * g.dbias[c] / m - w * xhat * g.dweight[c] / m;
            g.dx[i] = if finite { scale * inner } else { f64::NAN };
        }
    }
    Ok(g)
}

/// Gradients through frozen statistics: the same sums with the given moments,
/// `dx = dy·γ·inv_std`. A dγ that is not finite in f32 is NaN.
///
/// # Errors
/// A slice that is not as long as its view says, or statistics of another number of channels.
pub fn backward_frozen<T: Into<f64> + Copy>(
    view: &View,
    x: &[f32],
    dy: &[T],
    frozen: &Moments,
    weight: Option<&[f32]>,
    eps: f32,
) -> Result<Gradients, ShapeError> {
    backward_frozen_by(view, x, dy, &Shares::of(view, None), frozen, weight, eps)
}

/// [`backward_frozen`] of what is no padding.
pub(crate) fn backward_frozen_by<T: Into<f64> + Copy>(
    view: &View,
    x: &[f32],
    dy: &[T],
    shares: &Shares<'_>,
    frozen: &Moments,
    weight: Option<&[f32]>,
    eps: f32,
) -> Result<Gradients, ShapeError> {
    check_gradients(view, x, dy, frozen, weight)?;
    let inv_stds = frozen.inv_std(eps);
    let lost = vec![0.0; view.channels()];
    let mut g = sums(view, x, dy, shares, frozen, &lost, &inv_stds);
    for c in 0..view.channels() {
        let known = !no_variance(frozen.variance[c], eps);
        g.keep_dweight(c, known);
        let scale = if known {
            f64::from(weight.map_or(1.0, |w| w[c])) * inv_stds[c]
        } else {
            f64::NAN
        };
        for i in view.runs(c).flatten().filter(|&i| !shares.is_padding(i)) {
            g.dx[i] = dy[i].into() * scale;
        }
    }
    Ok(g)
}

/// Whether this is no variance: below 0, and not above it with `eps`.
fn no_variance(variance: f64, eps: f32) -> bool {
    variance < 0.0 && variance + f64::from(eps) <= 0.0
}

fn check_gradients<T>(
    view: &View,
    x: &[f32],
    dy: &[T],
    s: &Moments,
    weight: Option<&[f32]>,
) -> Result<(), ShapeError> {
    check_tensor(view, "x", x)?;
    check_tensor(view, "dy", dy)?;
    s.check_lengths(view)?;
    weight.map_or(Ok(()), |w| check_channels(view, "weight", w))
}

impl Gradients {
    /// Makes NaN of a dγ that f32 does not hold, or that has no statistics.
    fn keep_dweight(&mut self, c: usize, statistics: bool) {
        if !(statistics && (self.dweight[c] as f32).is_finite()) {
            self.dweight[c] = f64::NAN;
        }
    }
}

/// Per channel, the mean of `x − mean`: zero but for the rounding of the mean.
fn centered_means(view: &View, x: &[f32], shares: &Shares<'_>, s: &Moments) -> Vec<f64> {
    let centered = |c: usize| {
        let counted = view.runs(c).flatten().filter(|&i| shares.counts(i));
        counted
            .map(|i| shares.weight(i) * (f64::from(x[i]) - s.mean[c]))
            .sum::<f64>()
    };
    let channels = 0..view.channels();
    channels.map(|c| centered(c) / shares.total).collect()
}

/// `dγ` and `dβ` about `s.mean + lost`; `dx` is left zero.
fn sums<T: Into<f64> + Copy>(
    view: &View,
    x: &[f32],
    dy: &[T],
    shares: &Shares<'_>,
    s: &Moments,
    lost: &[f64],
    inv_stds: &[f64],
) -> Gradients {
    let mut g = Gradients {
        dx: vec![0.0; x.len()],
        dweight: vec![0.0; view.channels()],
        dbias: vec![0.0; view.channels()],
    };
    for (c, lost) in lost.iter().enumerate() {
        let inv_std = inv_stds[c];
        for i in view.runs(c).flatten().filter(|&i| !shares.is_padding(i)) {
            let dy: f64 = dy[i].into();
            g.dbias[c] += dy;
            g.dweight[c] += dy * ((f64::from(x[i]) - s.mean[c]) - lost) * inv_std;
        }
    }
    g
}

#[cfg(test)]
mod tests;
