//! Gradients.

use super::ends::{LARGEST, lost_of_scale};
use super::judge::{finite_or_zero, judge_stored, padding, widen};
use super::parts::keep_worse;
use super::upstream::Upstream;
use super::{BACKWARD_BOUND, Finding, Input, Report, ends};
use crate::element::Element;
use crate::error::ShapeError;
use crate::reference::{self, Gradients, Moments, Shares};
use crate::shape::{View, check_channels, check_tensor};
use crate::stats::HostGradients;

/// Checks backward through batch statistics. `dx` is not judged if it is empty. `before` holds dweight and dbias,
/// `[C]` each, from before a pass that added to them.
///
/// # Errors
/// A slice that is not as long as the view says; sub-batches of another view, or beside weights.
pub fn backward(
    input: &Input<'_>,
    dy: &[f32],
    result: &HostGradients,
    before: Option<(&[f32], &[f32])>,
) -> Result<Report, ShapeError> {
    check_gradients(input, dy, result, before)?;
    let sub_batches = input.cut()?;
    let mut parts = Vec::with_capacity(sub_batches.count());
    for g in 0..sub_batches.count() {
        let (input, range) = (input.part(&sub_batches, g), sub_batches.range(g));
        let shares = input.shares();
        // dweight is NaN where one of its terms is; dx says of which sub-batch.
        let dx = result.dx.get(range.clone());
        let says_so = |c: usize| {
            let own = dx.and_then(|dx| first(&input.view, &shares, c).map(|i| dx[i]));
            result.dweight[c].is_nan() && own.is_none_or(f32::is_nan)
        };
        let statistics = ends::moments(&input.view, input.x, &shares, says_so)?;
        let upstream = Upstream::of(&input, &dy[range.clone()], &statistics, true)?;
        let (view, x, dz) = (&input.view, input.x, &upstream.dz);
        let (weight, eps) = (input.parameters.weight, input.eps);
        let expected = reference::backward_by(view, x, dz, &shares, &statistics, weight, eps)?;
        let start = range.start;
        parts.push(Part::new(
            input, start, upstream, statistics, expected, true,
        ));
    }
    Ok(judge_gradients(&parts, result, before))
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
    let part = Part::new(*input, 0, upstream, frozen, expected, false);
    Ok(judge_gradients(&[part], result, before))
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
/// A slice that is not as long as the view says; sub-batches of another view, or beside weights, where statistics are the
/// batch's.
pub fn dresidual(
    input: &Input<'_>,
    dy: &[f32],
    frozen: Option<(&[f32], &[f32])>,
    got: &[f32],
) -> Result<Report, ShapeError> {
    input.check_lengths()?;
    check_tensor(&input.view, "dy", dy)?;
    check_tensor(&input.view, "dresidual", got)?;
    if let Some((mean, variance)) = frozen {
        let statistics = widen(mean, variance);
        statistics.check_lengths(&input.view)?;
        let upstream = Upstream::of(input, dy, &statistics, false)?;
        return Ok(judge_dresidual(input, &upstream, got).into());
    }
    let sub_batches = input.cut()?;
    let mut findings = Vec::new();
    for g in 0..sub_batches.count() {
        let (input, range) = (input.part(&sub_batches, g), sub_batches.range(g));
        let (dy, got, shares) = (&dy[range.clone()], &got[range.clone()], input.shares());
        let says_so = |c: usize| first(&input.view, &shares, c).is_some_and(|i| got[i].is_nan());
        let statistics = ends::moments(&input.view, input.x, &shares, says_so)?;
        let upstream = Upstream::of(&input, dy, &statistics, true)?;
        let own = judge_dresidual(&input, &upstream, got);
        keep_worse(&mut findings, own, range.start);
    }
    Ok(findings.into())
}

fn judge_dresidual(input: &Input<'_>, upstream: &Upstream, got: &[f32]) -> Vec<Finding> {
    if got.is_empty() {
        return vec![];
    }
    let view = input.view;
    let mut scale = vec![0.0; view.channels()];
    for (c, scale) in scale.iter_mut().enumerate() {
        for i in view.runs(c).flatten() {
            *scale = f64::max(*scale, upstream.size[i]);
        }
    }
    let (element, name) = (input.epilogue.element, "dresidual");
    let finding = judge_stored(name, element, BACKWARD_BOUND, got, &upstream.dz, |i| {
        with_slack(scale[view.channel_of(i)], upstream.slack[i])
    });
    let padding = padding(name, got, &input.shares());
    [finding].into_iter().chain(padding).collect()
}

/// The first value of channel `c` that is no padding.
fn first(view: &View, shares: &Shares<'_>, c: usize) -> Option<usize> {
    let mut values = view.runs(c).flatten();
    values.find(|&i| !shares.is_padding(i))
}

/// What one sub-batch, or the batch, should have given.
struct Part<'a> {
    input: Input<'a>,
    shares: Shares<'a>,
    /// Where it begins in the tensor.
    start: usize,
    upstream: Upstream,
    mean: Vec<f64>,
    inv_std: Vec<f64>,
    expected: Gradients,
    through_batch: bool,
    /// Per channel, the scale of dx, and dweight and dbias.
    dx_scale: Vec<f64>,
    sums: Vec<[Sum; 2]>,
}

/// A sum over a channel.
#[derive(Clone, Copy, Default)]
struct Sum {
    /// What it should be.
    value: f64,
    scale: f64,
    /// How far it may be off because of kinks.
    slack: f64,
    /// The sum of its terms' magnitudes.
    reach: f64,
}

impl Sum {
    fn plus(self, other: Self) -> Self {
        Self {
            value: self.value + other.value,
            scale: self.scale + other.scale,
            slack: self.slack + other.slack,
            reach: self.reach + other.reach,
        }
    }

    /// Whether it may have left f32 on the way, and says so.
    fn overflowed(self, got: f32) -> bool {
        self.reach > LARGEST && !got.is_finite()
    }
}

impl<'a> Part<'a> {
    fn new(
        input: Input<'a>,
        start: usize,
        upstream: Upstream,
        statistics: Moments,
        expected: Gradients,
        through_batch: bool,
    ) -> Self {
        let channels = input.view.channels();
        let mut part = Self {
            shares: input.shares(),
            start,
            upstream,
            inv_std: statistics.inv_std(input.eps),
            mean: statistics.mean,
            expected,
            through_batch,
            dx_scale: vec![0.0; channels],
            sums: vec![Default::default(); channels],
            input,
        };
        for c in 0..channels {
            (part.dx_scale[c], part.sums[c]) = part.scales(c);
        }
        part
    }

    /// |x̂|.
    fn xhat(&self, c: usize, i: usize) -> f64 {
        ((f64::from(self.input.x[i]) - self.mean[c]) * self.inv_std[c]).abs()
    }

    /// What part of the sums comes back to each value.
    fn share(&self, i: usize) -> f64 {
        self.shares.weight(i) / self.shares.total
    }

    /// The scale of dx in channel `c`, and its dweight and dbias.
    fn scales(&self, c: usize) -> (f64, [Sum; 2]) {
        let (upstream, expected) = (&self.upstream, &self.expected);
        let [mut dweight, mut dbias] = [Sum::default(); 2];
        (dweight.value, dbias.value) = (expected.dweight[c], expected.dbias[c]);
        let (weight, inv_std) = (self.weight(c), self.inv_std[c]);
        let (mut scale, mut largest) = (0.0, 0.0);
        let values = self.input.view.runs(c).flatten();
        for i in values.filter(|&i| !self.shares.is_padding(i)) {
            let (size, slack, xhat) = (upstream.size[i], upstream.slack[i], self.xhat(c, i));
            let mut term = size;
            if self.through_batch {
                term += self.share(i) * (dbias.value.abs() + xhat * dweight.value.abs());
            }
            scale = f64::max(scale, finite_or_zero(weight * inv_std * term));
            largest = f64::max(largest, finite_or_zero(term));
            dweight.reach += size * xhat;
            dbias.reach += size;
            dweight.scale += size * xhat + upstream.lost[i] / BACKWARD_BOUND;
            dbias.scale += size;
            // No slack is none, beside an x̂ that is not finite too.
            if slack != 0.0 {
                dweight.slack += slack * xhat;
                dbias.slack += slack;
            }
        }
        scale += lost_of_scale(inv_std, weight) / BACKWARD_BOUND * largest;
        (scale, [dweight, dbias])
    }

    /// |weight|.
    fn weight(&self, c: usize) -> f64 {
        f64::from(self.input.parameters.weight(c)).abs()
    }

    /// dx of the part; it is NaN in channels whose sums are `lost`.
    fn judge_dx(&self, dx: &[f32], lost: impl Fn(usize) -> bool) -> Vec<Finding> {
        let view = self.input.view;
        let scale = |i| {
            if self.shares.is_padding(i) {
                return None;
            }
            let c = view.channel_of(i);
            let [dweight, dbias] = self.sums[c];
            let mut slack = self.upstream.slack[i];
            if self.through_batch && dbias.slack > 0.0 {
                slack += self.share(i) * (dbias.slack + self.xhat(c, i) * dweight.slack);
            }
            match slack == 0.0 {
                true => Some(self.dx_scale[c]),
                false => with_slack(self.dx_scale[c], self.weight(c) * self.inv_std[c] * slack),
            }
        };
        let lost: Vec<bool> = (0..view.channels()).map(lost).collect();
        let expected = self.expected.dx.iter().enumerate();
        let expected = expected.map(|(i, &dx)| match lost[view.channel_of(i)] {
            true => f64::NAN,
            false => dx,
        });
        let expected: Vec<f64> = expected.collect();
        let element = self.input.epilogue.element;
        let finding = judge_stored("dx", element, BACKWARD_BOUND, dx, &expected, scale);
        let padding = padding("dx", dx, &self.shares);
        [finding].into_iter().chain(padding).collect()
    }
}

fn judge_gradients(
    parts: &[Part<'_>],
    result: &HostGradients,
    before: Option<(&[f32], &[f32])>,
) -> Report {
    let rows: [&[f32]; 2] = [&result.dweight, &result.dbias];
    let mut sums = vec![[Sum::default(); 2]; result.dweight.len()];
    for part in parts {
        for (sum, own) in sums.iter_mut().zip(&part.sums) {
            *sum = [sum[0].plus(own[0]), sum[1].plus(own[1])];
        }
    }
    for [dweight, _] in &mut sums {
        // As of one batch, a dweight that f32 does not hold is NaN.
        if !(dweight.value as f32).is_finite() {
            dweight.value = f64::NAN;
        }
    }
    let per_channel = |name, k: usize, old: Option<&[f32]>| {
        let old = |c: usize| old.map_or(0.0, |old| f64::from(old[c]));
        let got = rows[k];
        // A sum that overflowed on the way is what it says it is.
        let expected = sums.iter().zip(got).enumerate();
        let expected = expected.map(|(c, (sum, &got))| match sum[k].overflowed(got) {
            true => got.into(),
            false => sum[k].value + old(c),
        });
        let expected: Vec<f64> = expected.collect();
        judge_stored(name, Element::F32, BACKWARD_BOUND, got, &expected, |c| {
            with_slack(sums[c][k].scale + old(c).abs(), sums[c][k].slack)
        })
    };
    let mut findings = vec![
        per_channel("dweight", 0, before.map(|(dweight, _)| dweight)),
        per_channel("dbias", 1, before.map(|(_, dbias)| dbias)),
    ];
    if result.dx.is_empty() {
        return findings.into();
    }
    let mut dx_findings = Vec::new();
    for part in parts {
        let dx = &result.dx[part.start..][..part.input.view.len()];
        // Through the batch's statistics dx holds both sums. Where they are of several sub-batches, dx says whose overflowed.
        let lost = |c: usize| {
            let overflowed = |k: usize| part.sums[c][k].overflowed(rows[k][c]);
            let says_so =
                || first(&part.input.view, &part.shares, c).is_some_and(|i| dx[i].is_nan());
            let lost = part.through_batch && (overflowed(0) || overflowed(1));
            lost && (parts.len() == 1 || says_so())
        };
        keep_worse(&mut dx_findings, part.judge_dx(dx, lost), part.start);
    }
    findings.extend(dx_findings);
    findings.into()
}

/// A scale that holds a slack besides; `None` where nothing is certain.
fn with_slack(scale: f64, slack: f64) -> Option<f64> {
    slack.is_finite().then(|| scale + slack / BACKWARD_BOUND)
}
