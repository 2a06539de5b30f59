//! How far f32 may be off of x̂ and of z, element by element.
//!
//! A device computes z = ((x − pivot) − offset)·(inv_std·weight) + bias + residual. An f32 operation is off
//! by u = 2⁻²⁴ of its result at most, and so z by no more than the sum of these:
//!
//! - `x − pivot` rounds by u·|x − pivot|, at most u·(|x − mean| + reach), where reach is the furthest that
//!   a pivot may be from the mean;
//! - the mean, which is pivot + offset, is off by [`FORWARD_BOUND`] of the average |x − pivot|: sums of
//!   x − pivot lose a share of that. The worst measured is 5.2·u of the average, the bound is 8.4·u;
//! - the difference of both rounds by u·|x − mean|;
//! - `inv_std` is off by [`FORWARD_BOUND`] of itself, its product with the weight and that with the
//!   difference by u: all are shares of |x̂·weight|; where the product is subnormal, by what `ends.rs` says;
//! - the two sums round by u·|x̂·weight + bias| and u·|z|.
//!
//! No more is granted than [`FORWARD_BOUND`] of the channel's scale, what the bound on `y` says of z.
//!
//! The pivot is the median of five values of the channel, or the mean rounded to f32. Of six values and
//! more, the five are at different places, so at least three values of the channel are no larger than the
//! pivot and three no smaller. One hot pixel is never the third: a pivot that lies there is off by more
//! than this grants. The reach comes from the data, never from the pivot that was saved. Of a batch in
//! several pieces or parts the first finds the pivot, and needs six values a channel for this.
//!
//! Without an activation the errors of x̂ are held to shares of Σ|dy·x̂|. An activation may leave a channel
//! dz at small x̂ alone, and then a mean that is off in its last place is more than such a share: of 6,696
//! draws of 4 to 400 values behind relu and a residual, computed with exact sums rounded to f32, two left
//! `dweight`'s bound, by a factor of 3. What the first three lines make of x̂ is therefore added at each
//! element, |dz| times that, and no more than |dz|·2⁻²³·(the largest |x̂|) where this is less.
//!
//! With weights, all of this is about the values of weight above 0, and the average is weighted.
//!
//! Frozen statistics are given, and exact: reach and the mean's error are 0.

use super::ends::lost_of_scale;
use super::judge::forward_scale;
use super::{FORWARD_BOUND, Input, SCALE_FLOOR};
use crate::reference::Moments;

/// What an f32 operation is off at most, of its result.
const UNIT: f64 = 1.0 / (1 << 24) as f64;
/// How well f32 holds a mean, of the largest distance from it.
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
    /// How far inv_std·weight is off where it is subnormal.
    lost: f64,
    /// The most that is granted to x̂, and to z.
    most_xhat: f64,
    most_z: f64,
}

impl Rounding {
    /// With the statistics of the batch, or frozen ones.
    pub(super) fn of(input: &Input<'_>, statistics: &Moments, through_batch: bool) -> Self {
        let scale = forward_scale(input, statistics).into_iter();
        let inv_std = statistics.inv_std(input.eps);
        let channel = |(c, (scale, inv_std)): (usize, (f64, f64))| {
            let mean = statistics.mean[c];
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
                lost: lost_of_scale(inv_std, input.parameters.weight(c).into()),
                most_xhat: MEAN_ERROR * spread.largest * inv_std,
                most_z: FORWARD_BOUND * scale,
            }
        };
        Self {
            channels: scale.zip(inv_std).enumerate().map(channel).collect(),
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
        let lost = channel.lost * (x - channel.mean).abs();
        let error = factor.abs() * channel.centered(x) + products + lost + sums + SCALE_FLOOR;
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
        let shares = input.shares();
        let counted = || {
            let counted = input.view.runs(c).flatten();
            counted.filter(|&i| shares.counts(i))
        };
        let values = || counted().map(|i| f64::from(input.x[i]));
        let weighted = |of: &dyn Fn(f64) -> f64| {
            let terms = counted().map(|i| shares.weight(i) * of(f64::from(input.x[i])));
            terms.sum::<f64>() / shares.total
        };
        let [low, high] = pivots(values(), values().count());
        // A mean of distances is largest at an end of where the pivot may lie.
        let average = [low, high, mean]
            .map(|pivot| weighted(&|v| (v - pivot).abs()))
            .into_iter()
            .fold(0.0, f64::max);
        let largest = values().fold(0.0, |max: f64, v| max.max((v - mean).abs()));
        let lost = weighted(&|v| v - mean).abs();
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The median of the five values that `pivot.wgsl` samples.
    fn sampled(values: &[f64]) -> f64 {
        let last = values.len() - 1;
        let fractions = [0.090_169_9f32, 0.236_068, 0.472_136, 0.618_034, 0.854_102];
        let mut samples = fractions.map(|f| values[((last as f32 * f) as usize).min(last)]);
        samples.sort_by(f64::total_cmp);
        samples[2]
    }

    #[test]
    fn a_pivot_is_never_outside_of_where_it_may_lie() {
        for count in 1..200usize {
            // Every value in turn is the largest, the two before it the next.
            for at in 0..count {
                let value = |i: usize| ((i + 2 * count - at) % count) as f64;
                let values: Vec<f64> = (0..count).map(value).collect();
                for sign in [1.0, -1.0] {
                    let values: Vec<f64> = values.iter().map(|v| sign * v).collect();
                    let [low, high] = pivots(values.iter().copied(), count);
                    let pivot = sampled(&values);
                    assert!((low..=high).contains(&pivot), "{count} values, {at}");
                }
            }
        }
    }

    #[test]
    fn of_four_values_and_more_no_lone_one_is_the_pivot() {
        for count in 4..50 {
            for at in 0..count {
                let mut values = vec![1.0; count];
                values[at] = 1e6;
                assert_eq!(
                    pivots(values.into_iter(), count),
                    [1.0, 1.0],
                    "{count}, {at}"
                );
            }
        }
    }
}
