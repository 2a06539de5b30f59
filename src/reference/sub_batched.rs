//! The same operations where a batch is cut into sub-batches: each by itself, one after the other.
//!
//! Statistics have G·C values: those of sub-batch g and channel c at `g·C + c`.

use super::{Gradients, Moments, Shares, backward, train_forward, update_running_by};
use crate::config::RunningUpdate;
use crate::error::ShapeError;
use crate::shape::{check_len, check_tensor};
use crate::stats::{Parameters, RunningStatistics};
use crate::sub_batches::SubBatches;

/// [`train_forward`] of each sub-batch: `y` in the shape of `x`, and the moments of all, `[G, C]` each.
///
/// # Errors
/// A slice that is not as long as the view of the batch says.
pub fn sub_batched_train_forward(
    sub_batches: &SubBatches,
    x: &[f32],
    p: Parameters<'_>,
    eps: f32,
) -> Result<(Vec<f64>, Moments), ShapeError> {
    check_tensor(&sub_batches.batch(), "x", x)?;
    let mut y = Vec::with_capacity(x.len());
    let mut moments = Moments::new(vec![], vec![])?;
    for g in 0..sub_batches.count() {
        let x = &x[sub_batches.range(g)];
        let (part, own) = train_forward(&sub_batches.view(g), x, p, eps)?;
        y.extend(part);
        moments.mean.extend(own.mean);
        moments.variance.extend(own.variance);
    }
    Ok((y, moments))
}

/// [`update_running`](super::update_running) after each sub-batch in turn, with its own count and its moments from `moments`,
/// `[G, C]` each. Nothing is rounded between them. A channel does not count sub-batches that it skips.
///
/// # Errors
/// Moments, or running statistics, of another number of sub-batches or channels.
pub fn sub_batched_update_running(
    old: &RunningStatistics,
    moments: &Moments,
    sub_batches: &SubBatches,
    running: RunningUpdate,
) -> Result<(Moments, Vec<u32>), ShapeError> {
    let (count, channels) = (sub_batches.count(), sub_batches.batch().channels());
    check_len("mean", moments.mean.len(), count * channels)?;
    check_len("variance", moments.variance.len(), count * channels)?;
    let own = |g: usize| {
        let row = g * channels..(g + 1) * channels;
        Moments {
            mean: moments.mean[row.clone()].to_vec(),
            variance: moments.variance[row].to_vec(),
        }
    };
    let own: Vec<Moments> = (0..count).map(own).collect();
    let shares = (0..count).map(|g| Shares::of(&sub_batches.view(g), None));
    let batches: Vec<_> = own.iter().zip(shares).collect();
    update_running_by(old, &batches, running)
}

/// [`backward`] through each sub-batch: `dx` in the shape of `x`, and dγ and dβ as sums over all, `[C]` each.
///
/// What is not finite is as there: a dγ of one sub-batch that is NaN makes the sum NaN, and in `dx` its own values alone.
///
/// # Errors
/// A slice that is not as long as the view of the batch says.
pub fn sub_batched_backward<T: Into<f64> + Copy>(
    sub_batches: &SubBatches,
    x: &[f32],
    dy: &[T],
    weight: Option<&[f32]>,
    eps: f32,
) -> Result<Gradients, ShapeError> {
    let batch = sub_batches.batch();
    check_tensor(&batch, "x", x)?;
    check_tensor(&batch, "dy", dy)?;
    let mut sum = Gradients {
        dx: Vec::with_capacity(x.len()),
        dweight: vec![0.0; batch.channels()],
        dbias: vec![0.0; batch.channels()],
    };
    for g in 0..sub_batches.count() {
        let (view, range) = (sub_batches.view(g), sub_batches.range(g));
        let own = backward(&view, &x[range.clone()], &dy[range], weight, eps)?;
        sum.dx.extend(own.dx);
        for c in 0..batch.channels() {
            sum.dweight[c] += own.dweight[c];
            sum.dbias[c] += own.dbias[c];
        }
    }
    for c in 0..batch.channels() {
        sum.keep_dweight(c, true);
    }
    Ok(sum)
}
