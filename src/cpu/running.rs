//! Running statistics.

use super::arguments::Running;
use super::operations::Batch;
use crate::config::{Momentum, NonFinite, RunningVariance};

/// Moves running statistics by a batch with `m` values per channel, or weights that sum to that.
pub(super) fn update(running: Running<'_>, batches: &[Batch], m: f64) {
    let Running { statistics, update } = running;
    // No batch, or weights that have no unbiased variance: plain values of a count of 1 were refused.
    if m == 0.0 || (update.variance == RunningVariance::Unbiased && m <= 1.0) {
        return;
    }
    for (c, batch) in batches.iter().enumerate() {
        let mean = batch.mean;
        let variance = match update.variance {
            RunningVariance::Biased => batch.variance,
            RunningVariance::Unbiased => batch.variance * m / (m - 1.0),
        };
        let finite = batch.is_finite() && (variance as f32).is_finite();
        if !finite && update.non_finite == NonFinite::Skip {
            continue;
        }
        let counted = &mut statistics.batches[c];
        *counted = counted.saturating_add(1);
        let factor = match update.momentum {
            Momentum::Exponential(momentum) => f64::from(momentum),
            Momentum::Cumulative => 1.0 / f64::from(*counted),
        };
        let (mean, variance) = if finite {
            (mean, variance)
        } else {
            (f64::NAN, f64::NAN)
        };
        let towards = |old: &mut f32, new: f64| {
            *old = ((1.0 - factor) * f64::from(*old) + factor * new) as f32;
        };
        towards(&mut statistics.mean[c], mean);
        towards(&mut statistics.variance[c], variance);
    }
}
