//! Values of unequal weights: what sums over them, and what depends on those sums.
//!
//! Channels are shared among threads, and one thread sums a channel from its first value to its last, in f64. So a result
//! has the same bits however many threads there are. Values of weight 0 are left out of statistics by selection.
//!
//! Deviations are taken about a pivot p, a value of the channel's largest weight w. Then `σ² ≥ w(p−μ)²/W ≥ (p−μ)²/m`, so f64
//! loses no more than about `√m·2⁻⁵³` of σ. One that hardly counts could be as far off as it likes.

use rayon::prelude::*;

use super::arguments::{Input, Saved};
use super::operations::{
    BackwardFrozen, Batch, ChannelGradients, batch_of, inv_std, parameter_gradients,
};
use crate::shape::View;
use crate::weights::{Outside, Weights};

/// Elements of a task.
const TASK: usize = 8192;

/// The weighted statistics of every channel.
pub(super) fn statistics(view: &View, x: &[f32], weights: &Weights<'_>, eps: f32) -> Vec<Batch> {
    let total = weights.sum();
    let weight = |i: &usize| weights.of(*i);
    let places = view.runs(0).flatten();
    let heaviest = places.max_by(|i, j| weight(i).total_cmp(&weight(j)));
    let channel = |c: usize| {
        let counted = || {
            let all = view.runs(c).flatten().map(|i| (weights.of(i), x[i]));
            all.filter(|(w, _)| *w > 0.0)
                .map(|(w, x)| (f64::from(w), f64::from(x)))
        };
        // Places in the next channel are `inner` further on.
        let pivot = heaviest.map_or(f64::NAN, |i| f64::from(x[i + c * view.inner()]));
        let offset = counted().map(|(w, x)| w * (x - pivot)).sum::<f64>() / total;
        let square = |(w, x): (f64, f64)| w * ((x - pivot) - offset).powi(2);
        let variance = counted().map(square).sum::<f64>() / total;
        batch_of(pivot + offset, variance, eps)
    };
    (0..view.channels()).into_par_iter().map(channel).collect()
}

/// `y = x̂·weight + bias` by these statistics, before residual and activation; padding is for [`clear`].
pub(super) fn normalize(input: &Input<'_>, batches: &[Batch], y: &mut [f32]) {
    each(&input.view, y, |c, i| {
        let p = input.parameters;
        let scale = batches[c].inv_std * f64::from(p.weight(c));
        ((f64::from(input.x[i]) - batches[c].mean) * scale + f64::from(p.bias(c))) as f32
    });
}

/// What one channel's gradients are made of: `x − (pivot + offset)` times `inv_std` is x̂.
#[derive(Clone, Copy)]
struct Center {
    pivot: f32,
    offset: f32,
    inv_std: f64,
}

impl Center {
    fn saved(saved: Saved<'_>, c: usize) -> Self {
        Self {
            pivot: saved.pivot[c],
            offset: saved.offset[c],
            inv_std: f64::from(saved.inv_std[c]),
        }
    }

    /// How far x is from the mean.
    fn distance(self, x: f32) -> f64 {
        (f64::from(x) - f64::from(self.pivot)) - f64::from(self.offset)
    }
}

/// Σdz and Σdz·(x−μ) of every channel, over what is no padding.
fn sums(
    input: &Input<'_>,
    weights: &Weights<'_>,
    dz: &[f32],
    center: impl Fn(usize) -> Center + Sync,
) -> Vec<[f64; 2]> {
    let channel = |c: usize| {
        let center = center(c);
        let inside = input.view.runs(c).flatten();
        let inside = inside.filter(|&i| !weights.is_padding(i));
        inside.fold([0.0; 2], |[bias, weight], i| {
            let dz = f64::from(dz[i]);
            [bias + dz, weight + dz * center.distance(input.x[i])]
        })
    };
    let channels = (0..input.view.channels()).into_par_iter();
    channels.map(channel).collect()
}

/// Backward through weighted statistics of the batch; `dx` of padding is for [`clear`].
///
/// `dx = weight·inv_std·(dz − w·(Σdz + x̂·Σdz·x̂)/W)`, in f64: w/W is no more than 1, but neither w nor 1/W need be near it.
pub(super) fn backward(
    input: &Input<'_>,
    weights: &Weights<'_>,
    dz: &[f32],
    saved: Saved<'_>,
    dx: Option<&mut [f32]>,
) -> Vec<ChannelGradients> {
    let total = weights.sum();
    let center = |c: usize| Center::saved(saved, c);
    let sums = sums(input, weights, dz, center);
    let gradients = |(c, &sums): (usize, &[f64; 2])| {
        // Padding alone has no statistics, and needs none.
        match total == 0.0 && weights.outside() == Outside::Zero {
            true => parameter_gradients([0.0; 2], 0.0),
            false => parameter_gradients(sums, center(c).inv_std),
        }
    };
    let gradients: Vec<_> = sums.iter().enumerate().map(gradients).collect();
    if let Some(dx) = dx {
        each(&input.view, dx, |c, i| {
            let center = center(c);
            let scale = match gradients[c].are_finite() {
                true => f64::from(input.parameters.weight(c)) * center.inv_std,
                false => f64::NAN,
            };
            let [dz_sum, slope] = [sums[c][0], sums[c][1] * center.inv_std * center.inv_std];
            let share = f64::from(weights.of(i)) / total;
            let through = share * (dz_sum + center.distance(input.x[i]) * slope);
            ((f64::from(dz[i]) - through) * scale) as f32
        });
    }
    gradients
}

/// dweight and dbias through given statistics, over what is no padding.
pub(super) fn frozen_gradients(
    input: &Input<'_>,
    weights: &Weights<'_>,
    dz: &[f32],
    op: &BackwardFrozen<'_>,
) -> Vec<ChannelGradients> {
    let center = |c: usize| Center {
        pivot: op.statistics.mean[c],
        offset: 0.0,
        inv_std: inv_std(f64::from(op.statistics.variance[c]), op.eps),
    };
    let sums = sums(input, weights, dz, center).into_iter().enumerate();
    sums.map(|(c, sums)| parameter_gradients(sums, center(c).inv_std))
        .collect()
}

/// Makes 0 of padding, whatever came out there.
pub(super) fn clear(input: &Input<'_>, out: &mut [f32]) {
    let weights = input.weights.filter(|w| w.outside() == Outside::Zero);
    let Some(weights) = weights else {
        return;
    };
    let tasks = out.par_chunks_mut(TASK).enumerate();
    tasks.for_each(|(k, out)| {
        for (i, out) in out.iter_mut().enumerate() {
            if weights.is_padding(k * TASK + i) {
                *out = 0.0;
            }
        }
    });
}

/// Writes `f(channel, index)` to every element.
fn each(view: &View, out: &mut [f32], f: impl Fn(usize, usize) -> f32 + Sync) {
    let tasks = out.par_chunks_mut(TASK).enumerate();
    tasks.for_each(|(k, out)| {
        for (i, out) in (k * TASK..).zip(out) {
            *out = f(view.channel_of(i), i);
        }
    });
}
