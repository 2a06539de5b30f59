//! What each operation sums over a channel, and what it then does to every element.

use super::arguments::{Saved, Statistics};
use crate::shape::View;
use crate::stats::Parameters;

/// Numbers that [`Operation::map`] takes per channel; an operation uses as many as it needs.
pub(super) type Coefficients = [f32; 5];

/// Two sums over each channel, then a map over its elements that may depend on them.
pub(super) trait Operation: Sync {
    /// What the sums say about a channel.
    type Summary: Send;

    /// Whether there is anything to sum; where not, `finish` gets zeros.
    const SUMS: bool = true;

    /// What is subtracted from `x` before it is summed.
    fn center(&self, _c: usize) -> f64 {
        0.0
    }

    /// What one element adds to each sum; `d` is `x − center`.
    fn terms(_d: f64, _dy: f64) -> [f64; 2] {
        [0.0; 2]
    }

    /// The end of channel `c`'s reduction and the start of its map.
    fn finish(&self, c: usize, center: f64, sums: [f64; 2]) -> (Self::Summary, Coefficients);

    /// One element of the output.
    fn map(k: Coefficients, x: f32, dy: f32) -> f32;
}

/// A number as two f32: its nearest, and what that leaves.
pub(super) fn split(v: f64) -> [f32; 2] {
    let high = v as f32;
    [high, (v - f64::from(high)) as f32]
}

/// `1/√(variance + eps)`; NaN where a variance below 0 is not above it with `eps`.
pub(super) fn inv_std(variance: f64, eps: f32) -> f64 {
    let sum = variance + f64::from(eps);
    if variance < 0.0 && sum <= 0.0 {
        f64::NAN
    } else {
        1.0 / sum.sqrt()
    }
}

/// Training forward: the batch's statistics, then the values normalized by them.
///
/// Sums of `d` and `d²` about a pivot `p`, one of the channel's own values. They may be
/// subtracted from each other: `σ² ≥ (p−μ)²/m`, as `p`'s own deviation is among the `m` in `σ²`,
/// so `Σd²/m = σ² + (p−μ)² ≤ (m+1)·σ²`, and rounding in f64 costs `σ²` about `m·2⁻⁵³` of itself.
pub(super) struct Train<'a> {
    x: &'a [f32],
    parameters: Parameters<'a>,
    eps: f32,
    count: f64,
    /// Where channel 0 has its samples; those of channel 1 are `inner` further on.
    samples: [usize; 5],
    inner: usize,
}

impl<'a> Train<'a> {
    pub fn new(view: &View, x: &'a [f32], parameters: Parameters<'a>, eps: f32) -> Self {
        let m = view.count();
        let spread = [0, m / 4, m / 2, m / 4 * 3, m - 1];
        Self {
            x,
            parameters,
            eps,
            count: m as f64,
            samples: spread
                .map(|i| i / view.inner() * view.channels() * view.inner() + i % view.inner()),
            inner: view.inner(),
        }
    }
}

/// The median of five, without a branch to guess.
fn median([a, b, c, d, e]: [f32; 5]) -> f32 {
    // Neither the smaller of the smaller ones nor the larger of the larger ones is the median.
    let (f, g) = (a.min(b).max(c.min(d)), a.max(b).min(c.max(d)));
    f.min(g).max(f.max(g).min(e))
}

/// Mean and biased variance of one channel, before they are rounded to f32, and `1/√(variance + eps)`.
#[derive(Clone, Copy)]
pub(super) struct Batch {
    pub mean: f64,
    pub variance: f64,
    pub inv_std: f64,
}

impl Batch {
    pub fn is_finite(self) -> bool {
        (self.mean as f32).is_finite() && (self.variance as f32).is_finite()
    }
}

/// Statistics that f32 cannot hold are NaN.
pub(super) fn batch_of(mean: f64, variance: f64, eps: f32) -> Batch {
    let mut batch = Batch {
        mean,
        variance,
        inv_std: f64::NAN,
    };
    if !batch.is_finite() {
        (batch.mean, batch.variance) = (f64::NAN, f64::NAN);
    }
    batch.inv_std = inv_std(batch.variance, eps);
    batch
}

impl Operation for Train<'_> {
    type Summary = Batch;

    /// The median of five values spread over the channel.
    fn center(&self, c: usize) -> f64 {
        let x = &self.x[c * self.inner..];
        let [i, j, k, l, m] = self.samples;
        f64::from(median([x[i], x[j], x[k], x[l], x[m]]))
    }

    fn terms(d: f64, _: f64) -> [f64; 2] {
        [d, d * d]
    }

    fn finish(&self, c: usize, center: f64, [d, d2]: [f64; 2]) -> (Batch, Coefficients) {
        let m = self.count;
        let variance = (d2 - d * (d / m)) / m;
        // Not `max`, which would lose a NaN.
        let variance = if variance < 0.0 { 0.0 } else { variance };
        let batch = batch_of(center + d / m, variance, self.eps);
        let [pivot, offset] = split(batch.mean);
        let scale = batch.inv_std * f64::from(self.parameters.weight(c));
        let bias = self.parameters.bias(c);
        (batch, [pivot, offset, scale as f32, bias, 0.0])
    }

    /// `y = ((x − pivot) − offset)·scale + bias`: the mean in two f32, for one rounds away too much.
    fn map([pivot, offset, scale, bias, _]: Coefficients, x: f32, _: f32) -> f32 {
        ((x - pivot) - offset) * scale + bias
    }
}

/// Inference: values normalized by given statistics.
pub(super) struct Inference<'a> {
    pub statistics: Statistics<'a>,
    pub parameters: Parameters<'a>,
    pub eps: f32,
}

impl Operation for Inference<'_> {
    type Summary = ();

    const SUMS: bool = false;

    fn finish(&self, c: usize, _: f64, _: [f64; 2]) -> ((), Coefficients) {
        let inv_std = inv_std(f64::from(self.statistics.variance[c]), self.eps);
        let scale = inv_std * f64::from(self.parameters.weight(c));
        let bias = self.parameters.bias(c);
        ((), [self.statistics.mean[c], scale as f32, bias, 0.0, 0.0])
    }

    fn map([mean, scale, bias, ..]: Coefficients, x: f32, _: f32) -> f32 {
        (x - mean) * scale + bias
    }
}

/// Values normalized by what a batch saved.
pub(super) struct Normalized<'a> {
    pub saved: Saved<'a>,
    pub parameters: Parameters<'a>,
}

impl Operation for Normalized<'_> {
    type Summary = ();

    const SUMS: bool = false;

    fn finish(&self, c: usize, _: f64, _: [f64; 2]) -> ((), Coefficients) {
        let scale = f64::from(self.saved.inv_std[c]) * f64::from(self.parameters.weight(c));
        let (pivot, offset) = (self.saved.pivot[c], self.saved.offset[c]);
        (
            (),
            [pivot, offset, scale as f32, self.parameters.bias(c), 0.0],
        )
    }

    fn map(k: Coefficients, x: f32, dy: f32) -> f32 {
        Train::map(k, x, dy)
    }
}

/// `dweight` and `dbias` of one channel, before they are rounded to f32.
#[derive(Clone, Copy)]
pub(super) struct ChannelGradients {
    pub weight: f64,
    pub bias: f64,
}

impl ChannelGradients {
    /// A dweight that f32 cannot hold is NaN.
    fn new(weight: f64, bias: f64) -> Self {
        let held = (weight as f32).is_finite();
        let weight = if held { weight } else { f64::NAN };
        Self { weight, bias }
    }

    /// Those of two sub-batches together.
    pub fn plus(self, other: Self) -> Self {
        Self::new(self.weight + other.weight, self.bias + other.bias)
    }

    /// Whether f32 can hold both.
    pub fn are_finite(self) -> bool {
        (self.weight as f32).is_finite() && (self.bias as f32).is_finite()
    }
}

/// From `Σdy` and `Σdy·(x−μ)`.
pub(super) fn parameter_gradients([dy, dy_d]: [f64; 2], inv_std: f64) -> ChannelGradients {
    ChannelGradients::new(dy_d * inv_std, dy)
}

/// Backward through the statistics of the batch.
pub(super) struct Backward<'a> {
    pub count: usize,
    pub saved: Saved<'a>,
    pub weight: Option<&'a [f32]>,
}

impl Operation for Backward<'_> {
    type Summary = ChannelGradients;

    fn center(&self, c: usize) -> f64 {
        // The offset follows in `finish`: added here, f64 would round it away beside a large pivot.
        f64::from(self.saved.pivot[c])
    }

    fn terms(d: f64, dy: f64) -> [f64; 2] {
        [dy, dy * d]
    }

    fn finish(&self, c: usize, center: f64, sums: [f64; 2]) -> (ChannelGradients, Coefficients) {
        let inv_std = f64::from(self.saved.inv_std[c]);
        let offset = f64::from(self.saved.offset[c]);
        let sums = [sums[0], sums[1] - offset * sums[0]];
        let gradients = parameter_gradients(sums, inv_std);
        let scale = f64::from(self.weight.map_or(1.0, |w| w[c])) * inv_std;
        let scale = if gradients.are_finite() {
            scale
        } else {
            f64::NAN
        };
        let m = self.count as f64;
        let (pivot, offset) = (center as f32, offset as f32);
        let (dy_mean, slope) = (sums[0] / m, sums[1] * inv_std * inv_std / m);
        let k = [pivot, offset, slope as f32, dy_mean as f32, scale as f32];
        (gradients, k)
    }

    /// `dx = scale·(dy − mean(dy) − (x−μ)·slope)`.
    fn map([pivot, offset, slope, dy_mean, scale]: Coefficients, x: f32, dy: f32) -> f32 {
        ((dy - dy_mean) - ((x - pivot) - offset) * slope) * scale
    }
}

/// Backward through given statistics, which do not depend on `x`.
pub(super) struct BackwardFrozen<'a> {
    pub statistics: Statistics<'a>,
    pub weight: Option<&'a [f32]>,
    pub eps: f32,
}

impl Operation for BackwardFrozen<'_> {
    type Summary = ChannelGradients;

    fn center(&self, c: usize) -> f64 {
        f64::from(self.statistics.mean[c])
    }

    fn terms(d: f64, dy: f64) -> [f64; 2] {
        [dy, dy * d]
    }

    fn finish(&self, c: usize, _: f64, sums: [f64; 2]) -> (ChannelGradients, Coefficients) {
        let inv_std = inv_std(f64::from(self.statistics.variance[c]), self.eps);
        let scale = f64::from(self.weight.map_or(1.0, |w| w[c])) * inv_std;
        let k = [scale as f32, 0.0, 0.0, 0.0, 0.0];
        (parameter_gradients(sums, inv_std), k)
    }

    fn map([scale, ..]: Coefficients, _: f32, dy: f32) -> f32 {
        dy * scale
    }
}
