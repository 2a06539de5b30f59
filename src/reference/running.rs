//! How batches move running statistics.

use super::{Moments, Shares};
use crate::config::{Momentum, NonFinite, RunningUpdate, RunningVariance};
use crate::error::ShapeError;
use crate::shape::{View, check_len};
use crate::stats::RunningStatistics;

/// The running statistics after a batch of `count` values per channel with moments `batch`, and how many batches each
/// channel has then counted: `new = (1 − momentum)·old + momentum·batch`, with the variance biased or, times
/// count/(count − 1), unbiased, as `running` says. The unbiased variance of one value is not finite.
///
/// # Errors
/// Running statistics, or a variance, of another number of channels than the mean of `batch`.
pub fn update_running(
    old: &RunningStatistics,
    batch: &Moments,
    count: usize,
    running: RunningUpdate,
) -> Result<(Moments, Vec<u32>), ShapeError> {
    let shares = Shares::of(&View::of_lengths(count, 1, 1), None);
    update_running_by(old, &[(batch, shares)], running)
}

/// [`update_running`] after batches that follow each other, each of values with these shares. Nothing is rounded between
/// them.
///
/// # Errors
/// Batches of another number of channels than the first, or running statistics.
pub(crate) fn update_running_by(
    old: &RunningStatistics,
    batches: &[(&Moments, Shares<'_>)],
    running: RunningUpdate,
) -> Result<(Moments, Vec<u32>), ShapeError> {
    let first = batches.first();
    let channels = first.map_or(old.mean.len(), |(batch, _)| batch.mean.len());
    for (batch, _) in batches {
        check_len("mean", batch.mean.len(), channels)?;
        check_len("variance", batch.variance.len(), channels)?;
    }
    check_len("running mean", old.mean.len(), channels)?;
    check_len("running variance", old.variance.len(), channels)?;
    check_len("running batches", old.batches.len(), channels)?;
    let mut new = Moments {
        mean: old.mean.iter().map(|&v| f64::from(v)).collect(),
        variance: old.variance.iter().map(|&v| f64::from(v)).collect(),
    };
    let mut counted = old.batches.clone();
    for (batch, shares) in batches {
        count_batch(&mut new, &mut counted, batch, shares, running);
    }
    Ok((new, counted))
}

/// One step of the recursion; `counted` is how many batches each channel has counted.
fn count_batch(
    statistics: &mut Moments,
    counted: &mut [u32],
    batch: &Moments,
    shares: &Shares<'_>,
    running: RunningUpdate,
) {
    if shares.moves_nothing(running) {
        return;
    }
    let m = shares.total;
    for (c, counted) in counted.iter_mut().enumerate() {
        let variance = match running.variance {
            RunningVariance::Biased => batch.variance[c],
            RunningVariance::Unbiased => batch.variance[c] * m / (m - 1.0),
        };
        let finite = batch.is_finite(c) && (variance as f32).is_finite();
        if !finite && running.non_finite == NonFinite::Skip {
            continue;
        }
        *counted = counted.saturating_add(1);
        let factor = match running.momentum {
            Momentum::Exponential(momentum) => f64::from(momentum),
            Momentum::Cumulative => 1.0 / f64::from(*counted),
        };
        let (mean, variance) = if finite {
            (batch.mean[c], variance)
        } else {
            (f64::NAN, f64::NAN)
        };
        let towards = |old: &mut f64, new: f64| *old = (1.0 - factor) * *old + factor * new;
        towards(&mut statistics.mean[c], mean);
        towards(&mut statistics.variance[c], variance);
    }
}
