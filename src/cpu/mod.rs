//! The multi-threaded f32 path, for machines without a GPU and for the GPU to be compared with.
//!
//! Sums are kept in f64 and in an order that only the view decides, so a result has the same bits
//! however many threads took part. Work runs on rayon's current thread pool. Slices must have the
//! lengths their view gives.

mod columns;
mod interleaved;
mod operations;
mod planar;
#[cfg(test)]
mod tests;
mod wide;

use std::ops::Range;

use crate::config::{Momentum, NonFinite, Running, RunningVariance};
use crate::shape::View;
use crate::stats::{Moments, Parameters, RunningStatistics, SavedStatistics};
use operations::{Backward, BackwardFrozen, Batch, Inference, Operation, Train, split};

/// Training forward: writes `y`, moves the running statistics, returns what backward needs.
///
/// A channel whose statistics f32 cannot hold is NaN in `y` and in all that is saved.
///
/// # Panics
/// Where a slice has not the length its view gives.
pub fn train_forward(
    view: &View,
    x: &[f32],
    p: Parameters<'_>,
    eps: f32,
    running: Option<(&mut RunningStatistics, Running)>,
    y: &mut [f32],
) -> SavedStatistics {
    check_parameters(view, p);
    if let Some((statistics, _)) = &running {
        check_channels(view, "running mean", &statistics.mean);
        check_channels(view, "running variance", &statistics.variance);
        check_channels(view, "running batches", &statistics.batches);
    }
    let op = Train::new(view, x, p, eps);
    let batches = run(view, x, None, Some(y), &op);
    if let Some((statistics, options)) = running {
        update_running(statistics, &batches, view.count(), options);
    }
    let mut saved = SavedStatistics::default();
    for batch in batches {
        let [pivot, offset] = split(batch.mean);
        saved.pivot.push(pivot);
        saved.offset.push(offset);
        saved.inv_std.push(batch.inv_std(eps) as f32);
        saved.batch_mean.push(pivot);
        saved.batch_var.push(batch.variance as f32);
    }
    saved
}

/// Inference: writes `y`, normalized by the given statistics. A negative variance gives NaN.
///
/// # Panics
/// Where a slice has not the length its view gives.
pub fn inference(
    view: &View,
    x: &[f32],
    p: Parameters<'_>,
    mean: &[f32],
    variance: &[f32],
    eps: f32,
    y: &mut [f32],
) {
    check_parameters(view, p);
    check_channels(view, "mean", mean);
    check_channels(view, "variance", variance);
    let op = Inference {
        mean,
        variance,
        parameters: p,
        eps,
    };
    run(view, x, None, Some(y), &op);
}

/// Backward through the statistics of the batch: writes `dx`, if asked for, and returns `dweight`
/// and `dbias`. A channel whose statistics or sums f32 cannot hold is NaN in all three.
///
/// # Panics
/// Where a slice has not the length its view gives.
pub fn backward(
    view: &View,
    x: &[f32],
    dy: &[f32],
    saved: &SavedStatistics,
    weight: Option<&[f32]>,
    dx: Option<&mut [f32]>,
) -> (Vec<f32>, Vec<f32>) {
    weight.inspect(|w| check_channels(view, "weight", w));
    check_channels(view, "saved pivot", &saved.pivot);
    check_channels(view, "saved offset", &saved.offset);
    check_channels(view, "saved inv_std", &saved.inv_std);
    let op = Backward {
        count: view.count(),
        saved,
        weight,
    };
    let gradients = run(view, x, Some(dy), dx, &op);
    gradients.into_iter().map(|g| (g.weight, g.bias)).unzip()
}

/// Backward through given statistics: writes `dx`, if asked for, and returns `dweight` and
/// `dbias`, both NaN where f32 cannot hold one of them. A negative variance gives NaN throughout.
///
/// # Panics
/// Where a slice has not the length its view gives.
#[expect(clippy::too_many_arguments, reason = "as many as the formula has")]
pub fn backward_frozen(
    view: &View,
    x: &[f32],
    dy: &[f32],
    mean: &[f32],
    variance: &[f32],
    weight: Option<&[f32]>,
    eps: f32,
    dx: Option<&mut [f32]>,
) -> (Vec<f32>, Vec<f32>) {
    weight.inspect(|w| check_channels(view, "weight", w));
    check_channels(view, "mean", mean);
    check_channels(view, "variance", variance);
    let op = BackwardFrozen {
        mean,
        variance,
        weight,
        eps,
    };
    let gradients = run(view, x, Some(dy), dx, &op);
    gradients.into_iter().map(|g| (g.weight, g.bias)).unzip()
}

/// The mergeable statistics of every channel.
///
/// # Panics
/// Where `x` has not the length its view gives.
pub fn moments(view: &View, x: &[f32]) -> Moments {
    let op = Train::new(view, x, Parameters::default(), 0.0);
    let mut moments = Moments {
        count: view.count() as u64,
        pivot: Vec::new(),
        offset: Vec::new(),
        m2: Vec::new(),
    };
    for batch in run(view, x, None, None, &op) {
        let [pivot, offset] = split(batch.mean);
        moments.pivot.push(pivot);
        moments.offset.push(offset);
        let m2 = batch.variance * moments.count as f64;
        moments.m2.push(m2 as f32);
    }
    moments
}

/// Runs shorter than this are not worth a loop of their own, unless there are only a few rows to
/// walk instead.
const SHORT: usize = 16;

/// What is read element by element; where there is no `dy`, `x` stands in for it, unused.
#[derive(Clone, Copy)]
struct Tensors<'a> {
    x: &'a [f32],
    dy: &'a [f32],
}

impl Tensors<'_> {
    fn slice(&self, range: Range<usize>) -> Self {
        Self {
            x: &self.x[range.clone()],
            dy: &self.dy[range],
        }
    }

    fn slice_from(&self, start: usize) -> Self {
        self.slice(start..self.x.len())
    }
}

/// Carries out `op` along the memory pattern of `view`.
fn run<O: Operation>(
    view: &View,
    x: &[f32],
    dy: Option<&[f32]>,
    out: Option<&mut [f32]>,
    op: &O,
) -> Vec<O::Summary> {
    let t = Tensors {
        x,
        dy: dy.unwrap_or(x),
    };
    assert_eq!(x.len(), view.len(), "x does not fit {view:?}");
    assert_eq!(t.dy.len(), view.len(), "dy does not fit {view:?}");
    if let Some(out) = &out {
        assert_eq!(out.len(), view.len(), "the output does not fit {view:?}");
    }
    // The pool is entered once: each time costs tens of microseconds.
    rayon::scope(|_| {
        if view.channels() == 1 {
            // One run, however it is written.
            let view = View::of_lengths(1, 1, view.count());
            planar::run(&view, t, out, op)
        } else if view.inner() < SHORT && view.inner() < view.outer() {
            interleaved::run(view, t, out, op)
        } else {
            planar::run(view, t, out, op)
        }
    })
}

/// The results of `leaf` for every index, merged pair by pair, in an order that does not depend
/// on how many threads share the work.
fn tree<T: Send>(
    range: Range<usize>,
    leaf: &(impl Fn(usize) -> T + Sync),
    merge: &(impl Fn(T, T) -> T + Sync),
) -> T {
    if range.len() == 1 {
        return leaf(range.start);
    }
    let middle = range.start.midpoint(range.end);
    let (a, b) = rayon::join(
        || tree(range.start..middle, leaf, merge),
        || tree(middle..range.end, leaf, merge),
    );
    merge(a, b)
}

fn check_parameters(view: &View, p: Parameters<'_>) {
    p.weight.inspect(|w| check_channels(view, "weight", w));
    p.bias.inspect(|b| check_channels(view, "bias", b));
}

fn check_channels<T>(view: &View, name: &str, values: &[T]) {
    assert_eq!(
        values.len(),
        view.channels(),
        "{name} does not fit {view:?}"
    );
}

/// Moves running statistics by a batch with `count` values per channel.
fn update_running(
    statistics: &mut RunningStatistics,
    batches: &[Batch],
    count: usize,
    options: Running,
) {
    let m = count as f64;
    for (c, batch) in batches.iter().enumerate() {
        let mean = batch.mean;
        let variance = match options.variance {
            RunningVariance::Biased => batch.variance,
            RunningVariance::Unbiased => batch.variance * m / (m - 1.0),
        };
        let finite = batch.is_finite() && (variance as f32).is_finite();
        if !finite && options.non_finite == NonFinite::Skip {
            continue;
        }
        let counted = &mut statistics.batches[c];
        *counted = counted.saturating_add(1);
        let factor = match options.momentum {
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
