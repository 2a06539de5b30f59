//! Gradients.

use super::ends::{LARGEST, lost_of_scale};
use super::judge::{finite_or_zero, judge_stored, padding, widen};
use super::upstream::Upstream;
use super::{BACKWARD_BOUND, Input, Report, ends};
use crate::element::Element;
use crate::error::ShapeError;
use crate::reference::{self, Gradients, Moments};
use crate::shape::{check_channels, check_tensor};
use crate::stats::HostGradients;

/// Checks backward through batch statistics. `dx` is not judged if it is empty. `before` holds dweight and dbias,
/// `[C]` each, from before a pass that added to them.
///
/// # Errors
/// A slice that is not as long as the view says.
pub fn backward(
    input: &Input<'_>,
    dy: &[f32],
    result: &HostGradients,
    before: Option<(&[f32], &[f32])>,
) -> Result<Report, ShapeError> {
    check_gradients(input, dy, result, before)?;
    let shares = input.shares();
    let says_so = |c: usize| result.dweight[c].is_nan();
    let batch = ends::moments(&input.view, input.x, &shares, says_so)?;
    let upstream = Upstream::of(input, dy, &batch, true)?;
    let (x, weight) = (input.x, input.parameters.weight);
    let (view, dz) = (&input.view, &upstream.dz);
    let expected = reference::backward_by(view, x, dz, &shares, &batch, weight, input.eps)?;
    let report = judge_gradients(input, &upstream, &batch, &expected, true, result, before);
    Ok(report)
}

/// Checks backward through frozen statistics, as [`backward`].
///
/// # Errors
/// A slice that is not as long as the view says.
pub fn backward_frozen(
    input: &Input<'_>,
    dy: &[f32],
    mean: &[f32],
    variance: &[f32],
    result: &HostGradients,
    before: Option<(&[f32], &[f32])>,
) -> Result<Report, ShapeError> {
    check_gradients(input, dy, result, before)?;
    let frozen = widen(mean, variance);
    frozen.check_lengths(&input.view)?;
    let upstream = Upstream::of(input, dy, &frozen, false)?;
    let (x, weight) = (input.x, input.parameters.weight);
    let (view, dz, shares) = (&input.view, &upstream.dz, input.shares());
    let expected = reference::backward_frozen_by(view, x, dz, &shares, &frozen, weight, input.eps)?;
    let report = judge_gradients(input, &upstream, &frozen, &expected, false, result, before);
    Ok(report)
}

fn check_gradients(
    input: &Input<'_>,
    dy: &[f32],
    result: &HostGradients,
    before: Option<(&[f32], &[f32])>,
) -> Result<(), ShapeError> {
    let view = &input.view;
    input.check_lengths()?;
    check_tensor(view, "dy", dy)?;
    if !result.dx.is_empty() {
        check_tensor(view, "dx", &result.dx)?;
    }
    check_channels(view, "dweight", &result.dweight)?;
    check_channels(view, "dbias", &result.dbias)?;
    let Some((dweight, dbias)) = before else {
        return Ok(());
    };
    check_channels(view, "dweight before", dweight)?;
    check_channels(view, "dbias before", dbias)
}

/// Checks the gradient of the residual, of the shape of `x`. `frozen` holds mean and variance, `[C]` each, or is `None`
/// for batch statistics.
///
/// # Errors
/// A slice that is not as long as the view says.
pub fn dresidual(
    input: &Input<'_>,
    dy: &[f32],
    frozen: Option<(&[f32], &[f32])>,
    got: &[f32],
) -> Result<Report, ShapeError> {
    let view = input.view;
    input.check_lengths()?;
    check_tensor(&view, "dy", dy)?;
    check_tensor(&view, "dresidual", got)?;
    let shares = input.shares();
    let statistics = match frozen {
        Some((mean, variance)) => widen(mean, variance),
        None => {
            let first = |c: usize| view.runs(c).flatten().find(|&i| !shares.is_padding(i));
            let says_so = |c: usize| first(c).is_some_and(|i| got[i].is_nan());
            ends::moments(&view, input.x, &shares, says_so)?
        }
    };
    statistics.check_lengths(&view)?;
    let upstream = Upstream::of(input, dy, &statistics, frozen.is_none())?;
    let mut scale = vec![0.0; view.channels()];
    for (c, scale) in scale.iter_mut().enumerate() {
        for i in view.runs(c).flatten() {
            *scale = f64::max(*scale, upstream.size[i]);
        }
    }
    let element = input.epilogue.element;
    if got.is_empty() {
        return Ok(Report::default());
    }
    let finding = judge_stored(
        "dresidual",
        element,
        BACKWARD_BOUND,
        got,
        &upstream.dz,
        |i| with_slack(scale[view.channel_of(i)], upstream.slack[i]),
    );
    let padding = padding("dresidual", got, &shares);
    Ok(Report {
        findings: [finding].into_iter().chain(padding).collect(),
    })
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
    let shares = input.shares();
    // What part of the sums comes back to each value.
    let share = |i: usize| shares.weight(i) / shares.total;
    let zeros = vec![0.0; view.channels()];
    let (old_weight, old_bias) = before.unwrap_or((&zeros, &zeros));
    let inv_std = statistics.inv_std(input.eps);
    let xhat =
        |c: usize, i: usize| ((f64::from(input.x[i]) - statistics.mean[c]) * inv_std[c]).abs();
    let mut dx_scale = vec![0.0; view.channels()];
    let mut dweight_scale = vec![0.0; view.channels()];
    let mut dbias_scale = vec![0.0; view.channels()];
    let mut dweight_slack = vec![0.0; view.channels()];
    let mut dbias_slack = vec![0.0; view.channels()];
    // Channels whose dweight and dbias may have left f32 on the way, and say so.
    let mut overflowed = vec![[false; 2]; view.channels()];
    for c in 0..view.channels() {
        let weight = f64::from(input.parameters.weight(c)).abs();
        let (mut largest, mut reach) = (0.0, [0.0; 2]);
        for i in view.runs(c).flatten().filter(|&i| !shares.is_padding(i)) {
            let (size, slack, xhat) = (upstream.size[i], upstream.slack[i], xhat(c, i));
            let mut term = size;
            if through_batch {
                term += share(i) * (expected.dbias[c].abs() + xhat * expected.dweight[c].abs());
            }
            dx_scale[c] = f64::max(dx_scale[c], finite_or_zero(weight * inv_std[c] * term));
            largest = f64::max(largest, finite_or_zero(term));
            reach = [reach[0] + size, reach[1] + size * xhat];
            dweight_scale[c] += size * xhat + upstream.lost[i] / BACKWARD_BOUND;
            dbias_scale[c] += size;
            // No slack is none, beside an x̂ that is not finite too.
            if slack != 0.0 {
                dweight_slack[c] += slack * xhat;
                dbias_slack[c] += slack;
            }
        }
        dx_scale[c] += lost_of_scale(inv_std[c], weight) / BACKWARD_BOUND * largest;
        let says_so = |got: &[f32]| got.get(c).is_some_and(|v| !v.is_finite());
        let [bias, weight] = reach.map(|sum| sum > LARGEST);
        overflowed[c] = [
            weight && says_so(&result.dweight),
            bias && says_so(&result.dbias),
        ];
        dweight_scale[c] += f64::from(old_weight[c]).abs();
        dbias_scale[c] += f64::from(old_bias[c]).abs();
    }
    let add = |gradient: &[f64], old: &[f32]| -> Vec<f64> {
        let pairs = gradient.iter().zip(old);
        pairs.map(|(g, &o)| g + f64::from(o)).collect()
    };
    // A sum that overflowed on the way is what it says it is.
    let or_got = |k: usize, want: Vec<f64>, got: &[f32]| -> Vec<f64> {
        let or_got = |(c, want): (usize, f64)| match got.get(c) {
            Some(&got) if overflowed[c][k] => got.into(),
            _ => want,
        };
        want.into_iter().enumerate().map(or_got).collect()
    };
    let dweight = or_got(0, add(&expected.dweight, old_weight), &result.dweight);
    let dbias = or_got(1, add(&expected.dbias, old_bias), &result.dbias);
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
            if shares.is_padding(i) {
                return None;
            }
            let c = view.channel_of(i);
            let mut slack = upstream.slack[i];
            if through_batch && dbias_slack[c] > 0.0 {
                slack += share(i) * (dbias_slack[c] + xhat(c, i) * dweight_slack[c]);
            }
            let weight = f64::from(input.parameters.weight(c)).abs();
            let factor = weight * inv_std[c];
            match slack == 0.0 {
                true => Some(dx_scale[c]),
                false => with_slack(dx_scale[c], factor * slack),
            }
        };
        let element = input.epilogue.element;
        // Through the batch's statistics dx holds both sums.
        let lost = |i| through_batch && overflowed[view.channel_of(i)] != [false; 2];
        let dx = expected.dx.iter().enumerate();
        let dx: Vec<f64> = dx
            .map(|(i, &dx)| if lost(i) { f64::NAN } else { dx })
            .collect();
        let got = &result.dx;
        findings.push(judge_stored("dx", element, BACKWARD_BOUND, got, &dx, scale));
        findings.extend(padding("dx", got, &shares));
    }
    Report { findings }
}

/// A scale that holds a slack besides; `None` where nothing is certain.
fn with_slack(scale: f64, slack: f64) -> Option<f64> {
    slack.is_finite().then(|| scale + slack / BACKWARD_BOUND)
}
