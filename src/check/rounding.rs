//! How far f32 may be off of x̂ and of z, element by element.
//!
//! A device computes z = ((x − pivot) − offset)·(inv_std·weight) + bias + residual. With u = 2⁻²⁴, what an
//! f32 operation may be off of its result, these are the errors, largest first:
//!
//! - `x − pivot` rounds by u·|x − pivot|, at most u·(|x − mean| + reach), where reach is the furthest that
//!   a pivot may be from the mean;
//! - the mean, which is pivot + offset, is off by no more than [`FORWARD_BOUND`] of the mean of
//!   |x − pivot|: so much may sums of x − pivot lose, and it holds the rounding of offset;
//! - the difference of both rounds by u·|x − mean|;
//! - `inv_std` is off by [`FORWARD_BOUND`] of itself, its product with the weight and the product with
//!   the difference by u each: all are in proportion to |x̂·weight|;
//! - the two sums round by u·|x̂·weight + bias| and u·|z|.
//!
//! The pivot is the median of five values of the channel, so that at least three values are no larger and
//! three no smaller (two of either where the five fall on four or three places, one where they fall on
//! fewer), or it is the mean rounded to f32. One hot pixel is never the third of anything: a pivot that
//! lies there does more than these errors allow. The reach comes from the data, never from the pivot
//! that was saved. Of a batch in several pieces or parts, the first needs six values a channel for this.
//!
//! Frozen statistics are given, and exact.

use super::{FORWARD_BOUND, Input, SCALE_FLOOR, forward_scale};
use crate::reference::Moments;

/// Half a unit in the last place of f32, of the value.
pub(super) const UNIT: f64 = 1.0 / (1 << 24) as f64;
/// How far an f32 holds a mean, of the largest distance from it.
const MEAN_ERROR: f64 = 2.0 * UNIT;

/// What f32 may be off in each channel.
pub(super) struct Rounding {
    channels: Vec<Channel>,
}

struct Channel {
    mean: f64,
    inv_std: f64,
    weight: f64,
    bias: f64,
    /// How far the pivot may be from the mean.
    reach: f64,
    /// How far pivot + offset may be from the mean.
    mean_error: f64,
    /// What x̂ is off at most where it is small.
    most_xhat: f64,
    /// What z is off at most.
    most_z: f64,
}

impl Rounding {
    /// With the statistics of the batch, or frozen ones.
    pub(super) fn of(input: &Input<'_>, statistics: &Moments, through_batch: bool) -> Self {
        let scale = forward_scale(input, statistics);
        let channel = |(c, scale): (usize, f64)| {
            let mean = statistics.mean[c];
            let inv_std = statistics.inv_std(c, input.eps);
            let spread = match through_batch {
                true => Spread::of(input, c, mean),
                false => Spread::default(),
            };
            Channel {
                mean,
                inv_std,
                weight: f64::from(input.parameters.weight(c)),
                bias: f64::from(input.parameters.bias(c)),
                reach: spread.reach,
                mean_error: FORWARD_BOUND * spread.average + spread.lost,
                most_xhat: MEAN_ERROR * spread.largest * inv_std,
                most_z: FORWARD_BOUND * scale,
            }
        };
        Self {
            channels: scale.into_iter().enumerate().map(channel).collect(),
        }
    }

    /// How far z of channel `c` is off at `x`.
    pub(super) fn z(&self, c: usize, x: f64, residual: f64) -> f64 {
        let channel = &self.channels[c];
        let factor = channel.inv_std * channel.weight;
        let product = (x - channel.mean) * factor;
        let normalized = product + channel.bias;
        let sums = UNIT * (normalized.abs() + (normalized + residual).abs());
        let products = (FORWARD_BOUND + 2.0 * UNIT) * product.abs();
        let error = factor.abs() * channel.centered(x) + products + sums + SCALE_FLOOR;
        error.min(channel.most_z)
    }

    /// How far x̂ of channel `c` is off at `x` beyond its share of itself.
    pub(super) fn xhat(&self, c: usize, x: f64) -> f64 {
        let channel = &self.channels[c];
        let error = channel.inv_std * channel.centered(x);
        error.min(channel.most_xhat)
    }
}

impl Channel {
    /// How far (x − pivot) − offset is off. Adapters may take what is subnormal for zero.
    fn centered(&self, x: f64) -> f64 {
        UNIT * (2.0 * (x - self.mean).abs() + self.reach) + self.mean_error + SCALE_FLOOR
    }
}

/// How the values of a channel lie about their mean; all zero where the mean is given.
#[derive(Default)]
struct Spread {
    /// The largest |pivot − mean|.
    reach: f64,
    /// The largest mean of |x − pivot|.
    average: f64,
    /// The largest |x − mean|.
    largest: f64,
    /// What the f64 mean itself has lost.
    lost: f64,
}

impl Spread {
    fn of(input: &Input<'_>, c: usize, mean: f64) -> Self {
        let runs = || input.view.runs(c).flat_map(|run| &input.x[run]);
        let values = || runs().map(|&v| f64::from(v));
        let count = input.view.count() as f64;
        let [low, high] = pivots(values(), input.view.count());
        // A mean of distances is largest at an end of where the pivot may lie.
        let average = [low, high, mean]
            .map(|pivot| values().map(|v| (v - pivot).abs()).sum::<f64>() / count)
            .into_iter()
            .fold(0.0, f64::max);
        let largest = values().fold(0.0, |max: f64, v| max.max((v - mean).abs()));
        let lost = (values().map(|v| v - mean).sum::<f64>() / count).abs();
        let rounded = UNIT * mean.abs();
        Self {
            reach: (low - mean).abs().max((high - mean).abs()).max(rounded),
            average,
            largest,
            lost,
        }
    }
}

/// The least and the largest that a median of five values may be. Of six values and more, the five
/// have places of their own.
fn pivots(values: impl Iterator<Item = f64>, count: usize) -> [f64; 2] {
    let rank = match count {
        0..=3 => 0,
        4..=5 => 1,
        _ => 2,
    };
    let mut least = [f64::INFINITY; 3];
    let mut largest = [f64::NEG_INFINITY; 3];
    for value in values {
        if value < least[2] {
            least[2] = value;
            least.sort_by(f64::total_cmp);
        }
        if value > largest[2] {
            largest[2] = value;
            largest.sort_by(|a, b| b.total_cmp(a));
        }
    }
    [least[rank], largest[rank]]
}
