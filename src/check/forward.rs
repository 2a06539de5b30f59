//! Forward passes and moments.

use super::judge::{forward_scale, judge, judge_stored, largest_finite, padding, widen};
use super::upstream::vanished;
use super::{Epilogue, FORWARD_BOUND, Finding, Input, Report, ends};
use crate::config::{Activation, RunningUpdate};
use crate::error::ShapeError;
use crate::reduction::Reduction;
use crate::reference::epilogue::{activate, curvature, steepest_near};
use crate::reference::{self, Moments, Shares};
use crate::shape::{View, check_channels, check_len, check_tensor};
use crate::stats::{RunningStatistics, SavedStatistics};
use crate::weights::{Outside, Weights};

/// What training forward gave.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TrainResult<'a> {
    /// The output.
    pub y: &'a [f32],
    /// Saved statistics.
    pub saved: &'a SavedStatistics,
    /// Running statistics before and after, and how they move.
    pub running: Option<(&'a RunningStatistics, &'a RunningStatistics, RunningUpdate)>,
}

impl<'a> TrainResult<'a> {
    /// `y` and the saved statistics; running statistics did not move.
    pub fn new(y: &'a [f32], saved: &'a SavedStatistics) -> Self {
        Self {
            y,
            saved,
            running: None,
        }
    }

    /// The running statistics before and after, and how they should have moved.
    pub fn with_running(
        mut self,
        running: impl Into<Option<(&'a RunningStatistics, &'a RunningStatistics, RunningUpdate)>>,
    ) -> Self {
        self.running = running.into();
        self
    }

    fn check_lengths(&self, view: &View) -> Result<(), ShapeError> {
        check_tensor(view, "y", self.y)?;
        let saved = self.saved;
        let mut rows: Vec<(_, &[f32])> = vec![
            ("saved pivot", &saved.pivot),
            ("saved offset", &saved.offset),
            ("saved inv_std", &saved.inv_std),
            ("saved batch_mean", &saved.batch_mean),
            ("saved batch_var", &saved.batch_var),
        ];
        if let Some((before, after, _)) = self.running {
            rows.extend([
                ("running mean before", &before.mean[..]),
                ("running variance before", &before.variance),
                ("running mean after", &after.mean),
                ("running variance after", &after.variance),
            ]);
            check_channels(view, "running batches before", &before.batches)?;
            check_channels(view, "running batches after", &after.batches)?;
        }
        let mut rows = rows.into_iter();
        rows.try_for_each(|(name, row)| check_channels(view, name, row))
    }
}

/// Checks training forward.
///
/// # Errors
/// A slice that is not as long as the view says.
pub fn train_forward(input: &Input<'_>, result: &TrainResult<'_>) -> Result<Report, ShapeError> {
    input.check_lengths()?;
    result.check_lengths(&input.view)?;
    let Input {
        view,
        x,
        parameters,
        eps,
        ..
    } = *input;
    let shares = input.shares();
    let says_so = |c: usize| result.saved.batch_var[c].is_nan();
    let mut batch = ends::moments(&view, x, &shares, says_so)?;
    let z = reference::train_forward_by(&view, x, &shares, &batch, parameters, eps)?;
    let scale_x = largest_finite(&view, x, |i| shares.counts(i));
    let mut inv_std = batch.inv_std(eps);
    let mut findings = judge_y(input, z, &batch, result.y);
    let mut running_findings = Vec::new();
    if let Some((before, after, running)) = result.running {
        let (expected, batches) =
            reference::update_running_by(before, &[(&batch, shares)], running)?;
        running_findings = judge_running(&expected, &batches, before, after, &scale_x);
        if shares.moves_nothing(running) {
            let held = [
                Finding::held("running_mean", &after.mean, &before.mean),
                Finding::held("running_var", &after.variance, &before.variance),
            ];
            running_findings.extend(held.into_iter().flatten());
        }
    }
    for (c, inv_std) in inv_std.iter_mut().enumerate() {
        if !batch.is_finite(c) {
            (batch.mean[c], batch.variance[c], *inv_std) = (f64::NAN, f64::NAN, f64::NAN);
        }
    }
    let saved = result.saved;
    let per_channel = |name, got, expected: &[f64], scale| {
        judge(name, FORWARD_BOUND, got, expected, scale, |c| c)
    };
    findings.extend([
        per_channel("batch_mean", &saved.batch_mean, &batch.mean, scale_x),
        per_channel(
            "batch_var",
            &saved.batch_var,
            &batch.variance,
            batch.variance.clone(),
        ),
        per_channel("inv_std", &saved.inv_std, &inv_std, inv_std.clone()),
    ]);
    findings.push(judge_pair(&view, x, &shares, &batch, saved));
    findings.extend(running_findings);
    Ok(Report { findings })
}

/// The mean as backward uses it, `pivot + offset`, over the largest |x − pivot| of its channel.
fn judge_pair(
    view: &View,
    x: &[f32],
    shares: &Shares<'_>,
    batch: &Moments,
    saved: &SavedStatistics,
) -> Finding {
    let pivots = saved.pivot.iter().map(|&p| f64::from(p));
    let expected: Vec<f64> = batch
        .mean
        .iter()
        .zip(pivots.clone())
        .map(|(m, p)| m - p)
        .collect();
    let mut scale = vec![0.0; view.channels()];
    for (c, pivot) in pivots.enumerate() {
        for i in view.runs(c).flatten().filter(|&i| shares.counts(i)) {
            scale[c] = f64::max(scale[c], (f64::from(x[i]) - pivot).abs());
        }
    }
    judge(
        "offset",
        FORWARD_BOUND,
        &saved.offset,
        &expected,
        scale,
        |c| c,
    )
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

/// Checks inference, and functional normalization with plain statistics.
///
/// # Errors
/// A slice that is not as long as the view says.
pub fn inference(
    input: &Input<'_>,
    mean: &[f32],
    variance: &[f32],
    y: &[f32],
) -> Result<Report, ShapeError> {
    normalize(input, &widen(mean, variance), y)
}

/// Checks functional normalization with the given statistics, `[C]` each.
///
/// # Errors
/// A slice that is not as long as the view says, or statistics of another number of channels.
pub fn normalize(input: &Input<'_>, statistics: &Moments, y: &[f32]) -> Result<Report, ShapeError> {
    let view = input.view;
    input.check_lengths()?;
    check_tensor(&view, "y", y)?;
    let Input {
        parameters, eps, ..
    } = *input;
    let z = reference::normalize_by(&view, input.x, &input.shares(), statistics, parameters, eps)?;
    Ok(Report {
        findings: judge_y(input, z, statistics, y),
    })
}

/// `y` against g(z + residual); nothing of an empty one.
fn judge_y(input: &Input<'_>, z: Vec<f64>, statistics: &Moments, y: &[f32]) -> Vec<Finding> {
    if y.is_empty() {
        return vec![];
    }
    let Epilogue {
        element,
        activation,
        residual,
    } = input.epilogue;
    let view = input.view;
    let shares = input.shares();
    let scale = forward_scale(input, statistics);
    let mut z = z;
    if let Some(residual) = residual {
        z.iter_mut()
            .zip(residual)
            .for_each(|(z, &r)| *z += f64::from(r));
    }
    let expected = z
        .iter()
        .enumerate()
        .map(|(i, &z)| match shares.is_padding(i) {
            true => 0.0,
            false => activate(activation, z),
        });
    let expected: Vec<f64> = expected.collect();
    let smooth = curvature(activation, 0.0) > 0.0;
    let largest = |c| {
        let values = view.runs(c).flat_map(|run| &expected[run]);
        let finite = values.filter(|y| y.is_finite());
        finite.fold(0.0, |max: f64, y| max.max(y.abs()))
    };
    // What is computed rounds by a share of itself: ½ of a hard sigmoid, too, beside z that are small.
    let own: Vec<f64> = match smooth || activation == Activation::HardSigmoid {
        true => (0..view.channels()).map(largest).collect(),
        false => vec![0.0; view.channels()],
    };
    let finding = judge_stored("y", element, FORWARD_BOUND, y, &expected, |i| {
        if shares.is_padding(i) {
            return None;
        }
        let c = view.channel_of(i);
        let vanished = if smooth { vanished(z[i]) } else { 0.0 };
        let steepest = steepest_near(activation, z[i], FORWARD_BOUND * scale[c]);
        Some(scale[c] * steepest + own[c] + vanished / FORWARD_BOUND)
    });
    let padding = padding("y", y, &shares);
    [finding].into_iter().chain(padding).collect()
}

/// Checks functional moments: mean and biased variance, `[C]` each.
///
/// # Errors
/// A slice that is not as long as the view says.
pub fn moments(
    view: &View,
    x: &[f32],
    mean: &[f32],
    variance: &[f32],
) -> Result<Report, ShapeError> {
    moments_by(view, x, &Shares::of(view, None), mean, variance)
}

/// Checks moments of values with these weights: mean and biased variance, `[C]` each; NaN where W is 0.
///
/// # Errors
/// A slice that is not as long as the view says, or weights of a tensor of another length.
pub fn weighted_moments(
    view: &View,
    x: &[f32],
    weights: &Weights<'_>,
    mean: &[f32],
    variance: &[f32],
) -> Result<Report, ShapeError> {
    weights.check(view.len())?;
    moments_by(view, x, &Shares::of(view, Some(*weights)), mean, variance)
}

fn moments_by(
    view: &View,
    x: &[f32],
    shares: &Shares<'_>,
    mean: &[f32],
    variance: &[f32],
) -> Result<Report, ShapeError> {
    check_tensor(view, "x", x)?;
    check_channels(view, "mean", mean)?;
    check_channels(view, "variance", variance)?;
    let mut expected = ends::moments(view, x, shares, |c| variance[c].is_nan())?;
    let scale = largest_finite(view, x, |i| shares.counts(i));
    for c in 0..view.channels() {
        if !expected.is_finite(c) {
            (expected.mean[c], expected.variance[c]) = (f64::NAN, f64::NAN);
        }
    }
    let judge =
        |name, got, want: &[f64], scale| judge(name, FORWARD_BOUND, got, want, scale, |c| c);
    let findings = vec![
        judge("mean", mean, &expected.mean, scale),
        judge(
            "variance",
            variance,
            &expected.variance,
            expected.variance.clone(),
        ),
    ];
    Ok(Report { findings })
}

/// Checks mean and biased variance of `x` over `axes`, of a tensor of `shape`; their values lie in row-major order of the
/// axes that are kept.
///
/// # Errors
/// Axes out of range or named twice; another number of values than `shape` has, or of statistics than its other axes.
pub fn moments_over(
    x: &[f32],
    shape: &[usize],
    axes: &[isize],
    mean: &[f32],
    variance: &[f32],
) -> Result<Report, ShapeError> {
    let reduction = Reduction::over(shape, axes)?;
    reduction.check_len("x", x)?;
    let (gathered, view) = reduction.gather(x);
    moments(&view, &gathered, mean, variance)
}

/// The same of values with weights, of a shape of their own that is 1 on the kept axes.
///
/// # Errors
/// As [`moments_over`]; weights that do not fit `x`.
pub fn weighted_moments_over(
    (x, shape): (&[f32], &[usize]),
    (weights, weights_shape): (&[f32], &[usize]),
    axes: &[isize],
    mean: &[f32],
    variance: &[f32],
) -> Result<Report, ShapeError> {
    let reduction = Reduction::over(shape, axes)?;
    reduction.check_len("x", x)?;
    let places = reduction.places_of(weights_shape)?;
    check_len("weights", weights.len(), places.len)?;
    let (gathered, view) = reduction.gather(x);
    let run = reduction.gather_weights(&Weights::at(weights, places, Outside::Normalize));
    // A run for each statistic, which all have these weights.
    let runs = [1, view.channels(), view.count()];
    let weights = Weights::new(&run, &[view.count()], &runs, 1, Outside::Normalize)?;
    weighted_moments(&view, &gathered, &weights, mean, variance)
}
