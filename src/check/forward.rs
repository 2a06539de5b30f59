//! Forward passes and moments.

use super::judge::{forward_scale, judge, judge_stored, largest_finite, padding, widen};
use super::parts::keep_worse;
use super::running::running;
use super::upstream::vanished;
use super::{Epilogue, FORWARD_BOUND, Finding, Input, Report, ends};
use crate::config::{Activation, RunningUpdate};
use crate::error::ShapeError;
use crate::reduction::Reduction;
use crate::reference::epilogue::{activate, curvature, steepest_near};
use crate::reference::{self, Moments, Shares};
use crate::shape::{View, check_channels, check_len, check_tensor};
use crate::stats::{RunningStatistics, SavedStatistics};
use crate::sub_batches::SubBatches;
use crate::weights::{Outside, Weights};

/// What training forward gave.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TrainResult<'a> {
    /// The output.
    pub y: &'a [f32],
    /// Saved statistics, `[C]` each, or `[G, C]` of G sub-batches.
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

    fn check_lengths(&self, sub_batches: &SubBatches) -> Result<(), ShapeError> {
        let view = &sub_batches.batch();
        check_tensor(view, "y", self.y)?;
        let saved = self.saved;
        let saved: [(_, &[f32]); 5] = [
            ("saved pivot", &saved.pivot),
            ("saved offset", &saved.offset),
            ("saved inv_std", &saved.inv_std),
            ("saved batch_mean", &saved.batch_mean),
            ("saved batch_var", &saved.batch_var),
        ];
        let values = sub_batches.count() * view.channels();
        for (name, rows) in saved {
            check_len(name, rows.len(), values)?;
        }
        let Some((before, after, _)) = self.running else {
            return Ok(());
        };
        check_channels(view, "running batches before", &before.batches)?;
        check_channels(view, "running batches after", &after.batches)?;
        check_channels(view, "running mean before", &before.mean)?;
        check_channels(view, "running variance before", &before.variance)?;
        check_channels(view, "running mean after", &after.mean)?;
        check_channels(view, "running variance after", &after.variance)
    }
}

/// Checks training forward, of each sub-batch by itself.
///
/// # Errors
/// A slice that is not as long as the view says; sub-batches of another view, or beside weights.
pub fn train_forward(input: &Input<'_>, result: &TrainResult<'_>) -> Result<Report, ShapeError> {
    input.check_lengths()?;
    let sub_batches = input.cut()?;
    result.check_lengths(&sub_batches)?;
    let channels = input.view.channels();
    let (mut y_findings, mut findings) = (Vec::new(), Vec::new());
    let mut batches = Vec::new();
    let mut scale_x = vec![0.0; channels];
    for g in 0..sub_batches.count() {
        let (part, range) = (input.part(&sub_batches, g), sub_batches.range(g));
        let saved = saved_part(result.saved, g, channels);
        let shares = part.shares();
        let says_so = |c: usize| saved.batch_var[c].is_nan();
        let batch = ends::moments(&part.view, part.x, &shares, says_so)?;
        let largest = largest_finite(&part.view, part.x, |i| shares.counts(i));
        // A batch that is skipped moves nothing, and makes room for no error.
        for c in (0..channels).filter(|&c| batch.is_finite(c)) {
            scale_x[c] = f64::max(scale_x[c], largest[c]);
        }
        let (x, p) = (part.x, part.parameters);
        let z = reference::train_forward_by(&part.view, x, &shares, &batch, p, part.eps)?;
        let own = judge_y(&part, z, &batch, &result.y[range.clone()]);
        keep_worse(&mut y_findings, own, range.start);
        let own = judge_saved(&part, &batch, &saved, largest);
        keep_worse(&mut findings, own, g * channels);
        batches.push((batch, shares));
    }
    if let Some(moved) = result.running {
        let batches: Vec<_> = batches.iter().map(|(batch, s)| (batch, *s)).collect();
        findings.extend(running(moved, &batches, &scale_x)?);
    }
    Ok(Report {
        findings: y_findings.into_iter().chain(findings).collect(),
    })
}

/// The rows of one sub-batch.
fn saved_part(saved: &SavedStatistics, index: usize, channels: usize) -> SavedStatistics {
    let row = |values: &[f32]| values[index * channels..(index + 1) * channels].to_vec();
    SavedStatistics {
        pivot: row(&saved.pivot),
        offset: row(&saved.offset),
        inv_std: row(&saved.inv_std),
        batch_mean: row(&saved.batch_mean),
        batch_var: row(&saved.batch_var),
    }
}

/// What was saved of a batch; `scale_x` holds the largest |x| of each channel.
fn judge_saved(
    input: &Input<'_>,
    batch: &Moments,
    saved: &SavedStatistics,
    scale_x: Vec<f64>,
) -> Vec<Finding> {
    let mut batch = batch.clone();
    let mut inv_std = batch.inv_std(input.eps);
    for (c, inv_std) in inv_std.iter_mut().enumerate() {
        if !batch.is_finite(c) {
            (batch.mean[c], batch.variance[c], *inv_std) = (f64::NAN, f64::NAN, f64::NAN);
        }
    }
    let per_channel = |name, got, expected: &[f64], scale| {
        judge(name, FORWARD_BOUND, got, expected, scale, |c| c)
    };
    let variance = &batch.variance;
    vec![
        per_channel("batch_mean", &saved.batch_mean, &batch.mean, scale_x),
        per_channel("batch_var", &saved.batch_var, variance, variance.clone()),
        per_channel("inv_std", &saved.inv_std, &inv_std, inv_std.clone()),
        judge_pair(&input.view, input.x, &input.shares(), &batch, saved),
    ]
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
