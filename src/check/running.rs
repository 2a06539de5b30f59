//! Running statistics.

use super::judge::judge;
use super::{FORWARD_BOUND, Finding};
use crate::config::RunningUpdate;
use crate::error::ShapeError;
use crate::reference::{self, Moments, Shares};
use crate::stats::RunningStatistics;

/// Running statistics before and after batches, and how they move.
pub(super) type Moved<'a> = (&'a RunningStatistics, &'a RunningStatistics, RunningUpdate);

/// Judges what batches that follow each other left of running statistics. `scale_x` holds the largest |x| of each channel.
pub(super) fn running(
    (before, after, update): Moved<'_>,
    batches: &[(&Moments, Shares<'_>)],
    scale_x: &[f64],
) -> Result<Vec<Finding>, ShapeError> {
    let (expected, counted) = reference::update_running_by(before, batches, update)?;
    let mut findings = judge_running(&expected, &counted, before, after, scale_x);
    let mut shares = batches.iter().map(|(_, shares)| shares);
    if shares.all(|shares| shares.moves_nothing(update)) {
        let held = [
            Finding::held("running_mean", &after.mean, &before.mean),
            Finding::held("running_var", &after.variance, &before.variance),
        ];
        findings.extend(held.into_iter().flatten());
    }
    Ok(findings)
}

fn judge_running(
    expected: &Moments,
    batches: &[u32],
    before: &RunningStatistics,
    after: &RunningStatistics,
    scale_x: &[f64],
) -> Vec<Finding> {
    let larger = |a: &f64, b: &f32| a.abs().max(f64::from(b.abs()));
    let mean_scale = scale_x.iter().zip(&before.mean).map(|(a, b)| larger(a, b));
    let variances = expected.variance.iter().zip(&before.variance);
    let variance_scale = variances.map(|(a, b)| larger(a, b));
    let counted: Vec<f64> = batches.iter().map(|&k| f64::from(k)).collect();
    let got: Vec<f32> = after.batches.iter().map(|&k| k as f32).collect();
    vec![
        judge(
            "running_mean",
            FORWARD_BOUND,
            &after.mean,
            &expected.mean,
            mean_scale.collect(),
            |c| c,
        ),
        judge(
            "running_var",
            FORWARD_BOUND,
            &after.variance,
            &expected.variance,
            variance_scale.collect(),
            |c| c,
        ),
        // Counts beyond 2²⁴ round on both sides.
        judge("batches", 1e-7, &got, &counted, counted.clone(), |c| c),
    ]
}
