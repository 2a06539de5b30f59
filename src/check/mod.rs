//! Results against the reference: how far off, where, and how far they may be.
//!
//! An error is the absolute error over a scale, per channel, with a floor of 1.2e-38 on the scale:
//! for `y` the largest |x̂·weight| + |bias| of its channel, for means the largest |x|, for variances
//! and `inv_std` the true value, for `dx` the largest sum of its terms' magnitudes, for `dweight`
//! and `dbias` Σ|dy·x̂| and Σ|dy|. Where the reference is NaN the result must be, and where f32
//! overflows it must be that infinity.
//!
//! With an activation g, an error of its argument z may be magnified by the largest |g'| near z, and a
//! smooth g itself may be off by so much of the largest |y|: the scale of `y` is the sum of both. Backward
//! has dz = dy·g'(z) in place of dy, and to the bounds is added what the rounding of z changes of g', at a
//! kink and elsewhere (`upstream.rs`), each z as far off as f32 may leave that element (`rounding.rs`).
//! Its `dweight` is granted besides what rounding leaves of small x̂ (there too).
//!
//! f16 and bf16 results may be half a unit in the last place of their type further off.
//!
//! A layer's own check reads its inputs back from the device. So that a device which executes nothing is not
//! called right, outputs and scratch are filled with [`POISON`] before a run, and a value that still holds it
//! fails; a [`Canary`](crate::Canary) shows that the device executed the submission. Callers who
//! have the inputs on the host compare them with what the device holds ([`Finding::held`]), as `wgbn` does. These three add
//! findings to a report only when they fail.

mod poison;
mod rounding;
mod storage;
mod upstream;

pub use poison::{POISON, is_poison};

use crate::config::{Activation, Running};
use crate::element::Element;
use crate::reference::epilogue::{activate, curvature, steepest_near};
use crate::reference::{self, Gradients, Moments};
use crate::shape::View;
use crate::stats::{HostGradients, Parameters, RunningStatistics, SavedStatistics};
use upstream::{Upstream, vanished};

/// Whether results are compared with the reference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// Never.
    #[default]
    Off,
    /// Compared, and the report handed out.
    Report,
    /// Compared, and a result beyond its bound is an error.
    Enforce,
}

impl Check {
    /// The report to hand out, or the error where this check is to be enforced.
    pub(crate) fn apply(self, report: Report) -> Result<Option<Report>, CheckError> {
        if self == Self::Enforce {
            report.enforce()?;
        }
        Ok(Some(report))
    }
}

/// Bound on `y`, means, variances and `inv_std`.
pub const FORWARD_BOUND: f64 = 5e-7;
/// Bound on `dx`, `dweight` and `dbias`.
pub const BACKWARD_BOUND: f64 = 1e-6;
/// The tensor that a canary's finding names.
pub(crate) const CANARY: &str = "canary";
const SCALE_FLOOR: f64 = 1.2e-38;

/// The worst error of one tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The tensor's name.
    pub tensor: &'static str,
    /// The worst error over its scale; infinite where finite and non-finite values disagree.
    pub error: f64,
    /// What the error was held to.
    pub bound: f64,
    /// Where the worst is: an element index, or a channel for per-channel tensors.
    pub index: usize,
    /// The value there.
    pub got: f32,
    /// The value the reference has there.
    pub expected: f64,
}

impl Finding {
    /// Compares what the device holds with what the host uploaded, bit for bit. Returns a finding that
    /// fails, at the first place that differs, or `None`.
    pub fn held(tensor: &'static str, held: &[f32], given: &[f32]) -> Option<Self> {
        let mut pairs = held.iter().zip(given);
        let differs = pairs.position(|(held, given)| held.to_bits() != given.to_bits());
        let short = (held.len() != given.len()).then(|| held.len().min(given.len()));
        let index = differs.or(short)?;
        let value = |values: &[f32]| values.get(index).copied().unwrap_or(f32::NAN);
        Some(Self {
            tensor,
            error: f64::INFINITY,
            bound: 0.0,
            index,
            got: value(held),
            expected: value(given).into(),
        })
    }

    /// Where a value still holds [`POISON`]: a finding beyond any bound. Judges look for it themselves in
    /// what they are given; this is for values that are computed with before they are judged.
    pub fn unwritten(tensor: &'static str, values: &[f32]) -> Option<Self> {
        let index = values.iter().position(|&v| is_poison(v))?;
        Some(Self {
            tensor,
            error: f64::INFINITY,
            bound: 0.0,
            index,
            got: POISON,
            expected: f64::NAN,
        })
    }

    /// Whether the error is within its bound.
    pub fn passed(&self) -> bool {
        self.error <= self.bound
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            tensor,
            error,
            bound,
            index,
            got,
            expected,
        } = self;
        if is_poison(*got) {
            return write!(f, "{tensor}[{index}] was never written");
        }
        if *tensor == CANARY {
            return write!(
                f,
                "the device did not execute a kernel of the same submission"
            );
        }
        if *bound == 0.0 && error.is_infinite() && expected.is_nan() {
            return write!(
                f,
                "{tensor}[{index}] is {got:e}, expected the pattern that was uploaded"
            );
        }
        if *bound == 0.0 && error.is_infinite() {
            return write!(f, "{tensor}[{index}] is {got:e}, expected {expected:e}");
        }
        write!(
            f,
            "{tensor}[{index}] is {got:e}, expected {expected:e}: error {error:.1e} of its scale, bound {bound:.1e}"
        )
    }
}

/// The findings of one operation, a tensor each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// One per tensor.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether every tensor is within its bound.
    pub fn passed(&self) -> bool {
        self.findings.iter().all(Finding::passed)
    }

    /// The finding closest to its bound, or furthest beyond it.
    pub fn worst(&self) -> Option<&Finding> {
        let ratio = |f: &Finding| f.error / f.bound;
        self.findings
            .iter()
            .max_by(|a, b| ratio(a).total_cmp(&ratio(b)))
    }

    /// An error where a tensor is beyond its bound.
    ///
    /// # Errors
    /// The worst finding.
    pub fn enforce(&self) -> Result<(), CheckError> {
        match self.worst() {
            Some(worst) if !self.passed() => Err(CheckError {
                worst: worst.clone(),
            }),
            _ => Ok(()),
        }
    }
}

/// A result beyond its bound.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("check failed: {worst}")]
pub struct CheckError {
    /// The finding furthest beyond its bound.
    pub worst: Finding,
}

/// What forward operations read.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The view of `x`.
    pub view: View,
    /// The input.
    pub x: &'a [f32],
    /// Weight and bias.
    pub parameters: Parameters<'a>,
    /// Added to variances.
    pub eps: f32,
    /// What comes after the normalization.
    pub epilogue: Epilogue<'a>,
}

/// What comes after the normalization, and how the results are stored.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a> {
    /// How `y`, `dx` and `dresidual` are stored; inputs are as stored already.
    pub element: Element,
    /// After the residual.
    pub activation: Activation,
    /// In the input's shape.
    pub residual: Option<&'a [f32]>,
}

impl Default for Epilogue<'_> {
    /// f32, nothing added, no activation.
    fn default() -> Self {
        Self {
            element: Element::F32,
            activation: Activation::None,
            residual: None,
        }
    }
}

/// What training forward gave.
#[derive(Clone, Copy, Debug)]
pub struct TrainResult<'a> {
    /// The output.
    pub y: &'a [f32],
    /// Saved statistics.
    pub saved: &'a SavedStatistics,
    /// Running statistics before and after, and how they move.
    pub running: Option<(&'a RunningStatistics, &'a RunningStatistics, Running)>,
}

/// Checks training forward.
pub fn train_forward(input: &Input<'_>, result: &TrainResult<'_>) -> Report {
    let Input {
        view,
        x,
        parameters,
        eps,
        ..
    } = *input;
    let (z, mut batch) = reference::train_forward(&view, x, parameters, eps);
    let scale_x = largest_finite(&view, x);
    let channels = 0..view.channels();
    let mut inv_std: Vec<f64> = channels.clone().map(|c| batch.inv_std(c, eps)).collect();
    let mut findings = vec![judge_y(input, z, &batch, result.y)];
    let mut running_findings = Vec::new();
    if let Some((before, after, running)) = result.running {
        let (expected, batches) = reference::update_running(before, &batch, view.count(), running);
        running_findings = judge_running(&expected, &batches, before, after, &scale_x);
    }
    for c in channels
        .filter(|&c| !batch.is_finite(c))
        .collect::<Vec<_>>()
    {
        (batch.mean[c], batch.variance[c], inv_std[c]) = (f64::NAN, f64::NAN, f64::NAN);
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
    findings.push(judge_pair(&view, x, &batch, saved));
    findings.extend(running_findings);
    Report { findings }
}

/// The mean as backward uses it, `pivot + offset`, over the largest |x − pivot| of its channel.
fn judge_pair(view: &View, x: &[f32], batch: &Moments, saved: &SavedStatistics) -> Finding {
    let pivots = saved.pivot.iter().map(|&p| f64::from(p));
    let expected: Vec<f64> = batch
        .mean
        .iter()
        .zip(pivots.clone())
        .map(|(m, p)| m - p)
        .collect();
    let mut scale = vec![0.0; view.channels()];
    for (c, pivot) in pivots.enumerate() {
        for &v in view.runs(c).flat_map(|run| &x[run]) {
            scale[c] = f64::max(scale[c], (f64::from(v) - pivot).abs());
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
pub fn inference(input: &Input<'_>, mean: &[f32], variance: &[f32], y: &[f32]) -> Report {
    normalize(input, &widen(mean, variance), y)
}

/// Checks functional normalization with the given statistics.
pub fn normalize(input: &Input<'_>, statistics: &Moments, y: &[f32]) -> Report {
    let view = input.view;
    let z = reference::normalize(&view, input.x, statistics, input.parameters, input.eps);
    Report {
        findings: vec![judge_y(input, z, statistics, y)],
    }
}

/// `y` against g(z + residual).
fn judge_y(input: &Input<'_>, z: Vec<f64>, statistics: &Moments, y: &[f32]) -> Finding {
    let Epilogue {
        element,
        activation,
        residual,
    } = input.epilogue;
    let view = input.view;
    let scale = forward_scale(input, statistics);
    let mut z = z;
    if let Some(residual) = residual {
        z.iter_mut()
            .zip(residual)
            .for_each(|(z, &r)| *z += f64::from(r));
    }
    let expected: Vec<f64> = z.iter().map(|&z| activate(activation, z)).collect();
    let smooth = curvature(activation, 0.0) > 0.0;
    let largest = |c| {
        let values = view.runs(c).flat_map(|run| &expected[run]);
        let finite = values.filter(|y| y.is_finite());
        finite.fold(0.0, |max: f64, y| max.max(y.abs()))
    };
    let own: Vec<f64> = match smooth {
        true => (0..view.channels()).map(largest).collect(),
        false => vec![0.0; view.channels()],
    };
    judge_stored("y", element, FORWARD_BOUND, y, &expected, |i| {
        let c = view.channel_of(i);
        let vanished = if smooth { vanished(z[i]) } else { 0.0 };
        let steepest = steepest_near(activation, z[i], FORWARD_BOUND * scale[c]);
        Some(scale[c] * steepest + own[c] + vanished / FORWARD_BOUND)
    })
}

/// Checks functional moments.
pub fn moments(view: &View, x: &[f32], mean: &[f32], variance: &[f32]) -> Report {
    let mut expected = reference::moments(view, x);
    let scale = largest_finite(view, x);
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
    Report { findings }
}

/// Checks backward through batch statistics; an empty `dx` was skipped. `before` is what the
/// gradients were added to.
pub fn backward(
    input: &Input<'_>,
    dy: &[f32],
    result: &HostGradients,
    before: Option<(&[f32], &[f32])>,
) -> Report {
    let batch = reference::moments(&input.view, input.x);
    let upstream = Upstream::of(input, dy, &batch, true);
    let weight = input.parameters.weight;
    let expected = reference::backward(&input.view, input.x, &upstream.dz, weight, input.eps);
    judge_gradients(input, &upstream, &batch, &expected, true, result, before)
}

/// Checks backward through frozen statistics, as [`backward`].
pub fn backward_frozen(
    input: &Input<'_>,
    dy: &[f32],
    mean: &[f32],
    variance: &[f32],
    result: &HostGradients,
    before: Option<(&[f32], &[f32])>,
) -> Report {
    let frozen = widen(mean, variance);
    let upstream = Upstream::of(input, dy, &frozen, false);
    let (x, weight) = (input.x, input.parameters.weight);
    let expected =
        reference::backward_frozen(&input.view, x, &upstream.dz, &frozen, weight, input.eps);
    judge_gradients(input, &upstream, &frozen, &expected, false, result, before)
}

/// Checks the gradient of the residual, through batch statistics or these frozen ones: of mean and
/// variance.
pub fn dresidual(
    input: &Input<'_>,
    dy: &[f32],
    frozen: Option<(&[f32], &[f32])>,
    got: &[f32],
) -> Report {
    let view = input.view;
    let statistics = match frozen {
        Some((mean, variance)) => widen(mean, variance),
        None => reference::moments(&view, input.x),
    };
    let mut upstream = Upstream::of(input, dy, &statistics, frozen.is_none());
    let mut scale = vec![0.0; view.channels()];
    for (c, scale) in scale.iter_mut().enumerate() {
        let bad = match frozen {
            // The sign bit decides, of NaN too.
            Some((_, variance)) => variance[c].is_sign_negative() && variance[c] != 0.0,
            None => !statistics.is_finite(c),
        };
        for i in view.runs(c).flatten() {
            *scale = f64::max(*scale, upstream.size[i]);
            if bad {
                upstream.dz[i] = f64::NAN;
            }
        }
    }
    let element = input.epilogue.element;
    let finding = judge_stored(
        "dresidual",
        element,
        BACKWARD_BOUND,
        got,
        &upstream.dz,
        |i| with_slack(scale[view.channel_of(i)], upstream.slack[i]),
    );
    Report {
        findings: vec![finding],
    }
}

fn judge_gradients(
    input: &Input<'_>,
    upstream: &Upstream,
    statistics: &Moments,
    expected: &Gradients,
    through_batch: bool,
    result: &HostGradients,
    before: Option<(&[f32], &[f32])>,
) -> Report {
    let view = input.view;
    let m = view.count() as f64;
    let zeros = vec![0.0; view.channels()];
    let (old_weight, old_bias) = before.unwrap_or((&zeros, &zeros));
    let xhat = |c: usize, i: usize| {
        let inv_std = statistics.inv_std(c, input.eps);
        ((f64::from(input.x[i]) - statistics.mean[c]) * inv_std).abs()
    };
    let mut dx_scale = vec![0.0; view.channels()];
    let mut dweight_scale = vec![0.0; view.channels()];
    let mut dbias_scale = vec![0.0; view.channels()];
    let mut dweight_slack = vec![0.0; view.channels()];
    let mut dbias_slack = vec![0.0; view.channels()];
    for c in 0..view.channels() {
        let inv_std = statistics.inv_std(c, input.eps);
        let weight = f64::from(input.parameters.weight(c)).abs();
        for i in view.runs(c).flatten() {
            let (size, slack, xhat) = (upstream.size[i], upstream.slack[i], xhat(c, i));
            let mut term = size;
            if through_batch {
                term += expected.dbias[c].abs() / m + xhat * expected.dweight[c].abs() / m;
            }
            dx_scale[c] = f64::max(dx_scale[c], finite_or_zero(weight * inv_std * term));
            dweight_scale[c] += size * xhat + upstream.lost[i] / BACKWARD_BOUND;
            dbias_scale[c] += size;
            dweight_slack[c] += slack * xhat;
            dbias_slack[c] += slack;
        }
        dweight_scale[c] += f64::from(old_weight[c]).abs();
        dbias_scale[c] += f64::from(old_bias[c]).abs();
    }
    let add = |gradient: &[f64], old: &[f32]| -> Vec<f64> {
        let pairs = gradient.iter().zip(old);
        pairs.map(|(g, &o)| g + f64::from(o)).collect()
    };
    let dweight = add(&expected.dweight, old_weight);
    let dbias = add(&expected.dbias, old_bias);
    let per_channel = |name, got, want: &[f64], scale: &[f64], slack: &[f64]| {
        judge_stored(name, Element::F32, BACKWARD_BOUND, got, want, |c| {
            with_slack(scale[c], slack[c])
        })
    };
    let mut findings = vec![
        per_channel(
            "dweight",
            &result.dweight,
            &dweight,
            &dweight_scale,
            &dweight_slack,
        ),
        per_channel("dbias", &result.dbias, &dbias, &dbias_scale, &dbias_slack),
    ];
    if !result.dx.is_empty() {
        let scale = |i| {
            let c = view.channel_of(i);
            let mut slack = upstream.slack[i];
            if through_batch && dbias_slack[c] > 0.0 {
                slack += (dbias_slack[c] + xhat(c, i) * dweight_slack[c]) / m;
            }
            let weight = f64::from(input.parameters.weight(c)).abs();
            let factor = weight * statistics.inv_std(c, input.eps);
            match slack == 0.0 {
                true => Some(dx_scale[c]),
                false => with_slack(dx_scale[c], factor * slack),
            }
        };
        let element = input.epilogue.element;
        findings.push(judge_stored(
            "dx",
            element,
            BACKWARD_BOUND,
            &result.dx,
            &expected.dx,
            scale,
        ));
    }
    Report { findings }
}

/// A scale that holds a slack besides; `None` where nothing is certain.
fn with_slack(scale: f64, slack: f64) -> Option<f64> {
    slack.is_finite().then(|| scale + slack / BACKWARD_BOUND)
}

/// What is not finite is compared as it is, and scales nothing.
fn finite_or_zero(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}

fn widen(mean: &[f32], variance: &[f32]) -> Moments {
    let widen = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect();
    Moments {
        mean: widen(mean),
        variance: widen(variance),
    }
}

/// Per channel, the largest finite magnitude.
fn largest_finite(view: &View, values: &[f32]) -> Vec<f64> {
    let largest = |c| {
        let values = view.runs(c).flat_map(|run| &values[run]);
        let finite = values.filter(|v| v.is_finite());
        finite.fold(0.0, |max: f64, v| max.max(f64::from(v.abs())))
    };
    (0..view.channels()).map(largest).collect()
}

/// Per channel, the largest |x̂·weight| + |bias|, and the largest |residual|.
fn forward_scale(input: &Input<'_>, statistics: &Moments) -> Vec<f64> {
    let Input {
        view,
        x,
        parameters,
        eps,
        epilogue,
    } = *input;
    let residual = epilogue.residual.map(|r| largest_finite(&view, r));
    let scale = |c| {
        let factor = statistics.inv_std(c, eps) * f64::from(parameters.weight(c));
        let finite = view.runs(c).flat_map(|run| &x[run]);
        let finite = finite.filter(|v| v.is_finite());
        let largest = finite.fold(0.0, |max: f64, &v| {
            max.max(((f64::from(v) - statistics.mean[c]) * factor).abs())
        });
        let added = residual.as_ref().map_or(0.0, |largest| largest[c]);
        largest + f64::from(parameters.bias(c)).abs() + added
    };
    (0..view.channels()).map(scale).collect()
}

/// The worst error of f32 results, each value over the scale of its channel.
fn judge(
    tensor: &'static str,
    bound: f64,
    got: &[f32],
    expected: &[f64],
    scale: Vec<f64>,
    channel: impl Fn(usize) -> usize,
) -> Finding {
    judge_stored(tensor, Element::F32, bound, got, expected, |i| {
        Some(scale[channel(i)])
    })
}

/// The worst error of `got`, each value over its scale; what has none is not judged.
fn judge_stored(
    tensor: &'static str,
    element: Element,
    bound: f64,
    got: &[f32],
    expected: &[f64],
    scale: impl Fn(usize) -> Option<f64>,
) -> Finding {
    let mut worst = Finding {
        tensor,
        error: -1.0,
        bound,
        index: 0,
        got: f32::NAN,
        expected: f64::NAN,
    };
    if got.len() != expected.len() {
        worst.error = f64::INFINITY;
        worst.index = got.len().min(expected.len());
        return worst;
    }
    for (index, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let judged = || {
            scale(index).map_or(0.0, |scale| {
                storage::error(element, got, expected, scale.max(SCALE_FLOOR), bound)
            })
        };
        let error = if is_poison(got) {
            f64::INFINITY
        } else {
            judged()
        };
        if error > worst.error {
            worst = Finding {
                error,
                index,
                got,
                expected,
                ..worst
            };
        }
    }
    worst
}

#[cfg(test)]
mod tests;
