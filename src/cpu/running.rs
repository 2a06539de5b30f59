//! Running statistics.

use super::arguments::Running;
use super::operations::Batch;
use crate::config::{Momentum, NonFinite, RunningUpdate, RunningVariance};

/// What a batch, or a sub-batch, has for running statistics: its statistics, `[C]`, and how many values per channel these
/// are of, or the sum of their weights.
pub(super) struct Counted {
    pub batches: Vec<Batch>,
    pub count: f64,
}

/// Moves running statistics by batches that follow each other. They are rounded to f32 once, behind the last: each time would
/// leave the bounds of accuracy after some hundreds.
pub(super) fn update(running: Running<'_>, parts: &[Counted]) {
    let Running { statistics, update } = running;
    for (c, counted) in statistics.batches.iter_mut().enumerate() {
        let (mean, variance) = (&mut statistics.mean[c], &mut statistics.variance[c]);
        let mut moved = [f64::from(*mean), f64::from(*variance)];
        let mut moves = false;
        for part in parts {
            let Some(batch) = counted_values(part, c, update) else {
                continue;
            };
            moves = true;
            *counted = counted.saturating_add(1);
            let factor = match update.momentum {
                Momentum::Exponential(momentum) => f64::from(momentum),
                Momentum::Cumulative => 1.0 / f64::from(*counted),
            };
            for (old, new) in moved.iter_mut().zip(batch) {
                *old = (1.0 - factor) * *old + factor * new;
            }
        }
        if moves {
            [*mean, *variance] = moved.map(|v| v as f32);
        }
    }
}

/// Mean and variance that channel `c` counts, both NaN where they are not finite; nothing where it does not count them.
fn counted_values(part: &Counted, c: usize, update: RunningUpdate) -> Option<[f64; 2]> {
    let (batch, m) = (part.batches[c], part.count);
    // No batch, or weights that have no unbiased variance: plain values of a count of 1 were refused.
    if m == 0.0 || (update.variance == RunningVariance::Unbiased && m <= 1.0) {
        return None;
    }
    let variance = match update.variance {
        RunningVariance::Biased => batch.variance,
        RunningVariance::Unbiased => batch.variance * m / (m - 1.0),
    };
    let finite = batch.is_finite() && (variance as f32).is_finite();
    match (finite, update.non_finite) {
        (true, _) => Some([batch.mean, variance]),
        (false, NonFinite::Skip) => None,
        (false, NonFinite::Propagate) => Some([f64::NAN; 2]),
    }
}
