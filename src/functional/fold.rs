//! A trained layer folded into the linear or convolution weights before it.

use crate::error::Error;
use crate::error::{ConfigError, ShapeError};
use crate::shape::check_len;
use crate::stats::{Parameters, variance_taken};

/// The weights and bias of a linear or convolution layer with a trained batch norm folded in.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Folded {
    /// The layer's weight, each output channel scaled by `γ/√(running_var + eps)`.
    pub weight: Vec<f32>,
    /// The bias, `[C]`. It replaces the bias of the layer itself and contains it.
    pub bias: Vec<f32>,
}

/// A trained batch norm as inference sees it, `[C]` each.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Trained<'a> {
    /// γ and β.
    pub parameters: Parameters<'a>,
    /// Running mean.
    pub mean: &'a [f32],
    /// Running variance.
    pub variance: &'a [f32],
    /// Added to the variance.
    pub eps: f32,
}

impl<'a> Trained<'a> {
    /// From parameters, running mean and running variance, `[C]` each, and what is added to the variance.
    pub fn new(parameters: Parameters<'a>, mean: &'a [f32], variance: &'a [f32], eps: f32) -> Self {
        Self {
            parameters,
            mean,
            variance,
            eps,
        }
    }
}

/// Folds a trained batch norm into the linear or convolution layer before it, so that
/// `weight'·u + bias' = BN(weight·u + bias)`. The bias that is returned contains the layer's own and replaces it.
///
/// `weight` is row-major with the C output channels first, `[C, …]`; `bias`, where the layer was
/// trained with one, `[C]`. Computed in f64 and rounded once.
///
/// # Errors
/// An empty mean, which has no channels; lengths that do not fit C; `eps` negative or not finite; a channel, which is
/// named, whose running variance is below 0 even with `eps`, whose running mean or variance is not finite, or whose running
/// variance and `eps` are both 0.
pub fn fold_into_linear(
    trained: &Trained<'_>,
    weight: &[f32],
    bias: Option<&[f32]>,
) -> Result<Folded, Error> {
    let channels = trained.mean.len();
    if channels == 0 {
        return Err(ConfigError::NoChannels.into());
    }
    if !(trained.eps.is_finite() && trained.eps >= 0.0) {
        return Err(ConfigError::Eps { got: trained.eps }.into());
    }
    let length = |tensor, got| check_len(tensor, got, channels);
    length("running_var", trained.variance.len())?;
    let parameters = trained.parameters;
    parameters.weight.map_or(Ok(()), |w| length("γ", w.len()))?;
    parameters.bias.map_or(Ok(()), |b| length("β", b.len()))?;
    bias.map_or(Ok(()), |b| length("bias", b.len()))?;
    if weight.is_empty() || !weight.len().is_multiple_of(channels) {
        return Err(ShapeError::Length {
            tensor: "weight",
            got: weight.len(),
            expected: weight.len().next_multiple_of(channels).max(channels),
        }
        .into());
    }
    let per_channel = weight.len() / channels;
    let mut folded = Folded {
        weight: Vec::with_capacity(weight.len()),
        bias: Vec::with_capacity(channels),
    };
    for (c, row) in weight.chunks_exact(per_channel).enumerate() {
        let variance = trained.variance[c];
        check_channel(trained, c)?;
        let inv_std = 1.0 / (f64::from(variance) + f64::from(trained.eps)).sqrt();
        let scale = inv_std * f64::from(parameters.weight(c));
        let own = bias.map_or(0.0, |b| f64::from(b[c]));
        let shift = (own - f64::from(trained.mean[c])) * scale + f64::from(parameters.bias(c));
        folded
            .weight
            .extend(row.iter().map(|&w| (f64::from(w) * scale) as f32));
        folded.bias.push(shift as f32);
    }
    Ok(folded)
}

/// Refuses a channel that would fold into weights that are no numbers, or into zeros.
fn check_channel(trained: &Trained<'_>, c: usize) -> Result<(), ConfigError> {
    let (mean, variance) = (trained.mean[c], trained.variance[c]);
    let refuse = |statistic, got, expected| {
        Err(ConfigError::RunningStatistic {
            statistic,
            channel: c,
            got,
            expected,
        })
    };
    if !mean.is_finite() {
        return refuse("running_mean", mean, "a finite number");
    }
    if !variance.is_finite() || !variance_taken(variance, trained.eps) {
        return refuse("running_var", variance, "a finite number of at least 0");
    }
    if variance == 0.0 && trained.eps == 0.0 {
        return refuse("running_var", variance, "a number above 0, as eps is 0");
    }
    Ok(())
}
