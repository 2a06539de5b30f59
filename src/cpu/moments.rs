//! Mergeable statistics.

use super::arguments::check_weights;
use super::operations::{Batch, Train, split};
use super::{run, weighted};
use crate::error::Error;
use crate::shape::{View, check_tensor};
use crate::stats::{Moments, Parameters, filled};
use crate::weights::Weights;

/// The mergeable statistics of every channel; a channel that is not finite has NaN.
///
/// # Errors
/// An `x` that is not as long as its view says.
pub fn moments(view: &View, x: &[f32]) -> Result<Moments, Error> {
    check_tensor(view, "x", x)?;
    if view.is_empty() {
        let zeros = filled(view.channels(), 0.0)?;
        return Ok(Moments::of(0.0, [zeros.clone(), zeros.clone(), zeros]));
    }
    let op = Train::new(view, x, Parameters::default(), 0.0);
    let batches = run(view, x, None, None, &op);
    Ok(mergeable(view.count() as f64, &batches))
}

/// The mergeable statistics of every channel, where each value has a weight: the count is W, and `m2` is Σw(x−μ)². A channel
/// that is not finite has NaN; where W is 0, the moments are those of nothing.
///
/// # Errors
/// An `x` that is not as long as its view says; weights of a tensor of another length, or one that is negative or not finite.
pub fn weighted_moments(view: &View, x: &[f32], weights: &Weights<'_>) -> Result<Moments, Error> {
    check_tensor(view, "x", x)?;
    check_weights(view, weights)?;
    if weights.are_ones() {
        return moments(view, x);
    }
    let count = weights.sum();
    if count == 0.0 {
        let zeros = filled(view.channels(), 0.0)?;
        return Ok(Moments::of(0.0, [zeros.clone(), zeros.clone(), zeros]));
    }
    let batches = weighted::statistics(view, x, weights, 0.0);
    Ok(mergeable(count, &batches))
}

fn mergeable(count: f64, batches: &[Batch]) -> Moments {
    let means = batches.iter().map(|batch| split(batch.mean));
    let (pivot, offset) = means.map(|[pivot, offset]| (pivot, offset)).unzip();
    let m2 = |batch: &Batch| (batch.variance * count) as f32;
    Moments::of(count, [pivot, offset, batches.iter().map(m2).collect()])
}
