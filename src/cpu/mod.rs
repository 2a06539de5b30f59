//! The multi-threaded f32 path, for machines without a GPU and for the GPU to be compared with.
//!
//! Sums are kept in f64 and in an order that only the view decides, so a result has the same bits
//! however many threads took part. Work runs on rayon's current thread pool.
//!
//! Each call refuses slices that are not as long as their view says, and the options it uses where a device would refuse
//! them. Rayon panics where the system gives it no threads at all.
//!
//! Formulas are those of the [crate]'s source; x̂ = (x − mean)/√(variance + eps), g is the activation, and m is
//! the number of values per channel. An activation costs a pass of its own, and backward memory for another tensor.
//!
//! With weights w, W = Σw stands for m: statistics are weighted, and so is what backward subtracts,
//! `w·(dbias + x̂·dweight)/W`. Where W is 0, statistics are NaN and running statistics stay; they also stay where W is no more
//! than 1 and the variance unbiased. Padding is 0 in `y`, `dx` and `dresidual`, and in no sum. Weights that are all 1 change
//! no bit. A weight that is negative or not finite is refused.
//!
//! With sub-batches, each is a batch of its own forward and backward. Saved statistics have a value for each sub-batch and
//! channel, `[G, C]`; `dweight` and `dbias` are sums over all, and running statistics count each, in order, in f64.

mod arguments;
mod columns;
mod epilogue;
mod interleaved;
mod lines;
mod moments;
mod operations;
mod planar;
mod running;
#[cfg(test)]
mod tests;
mod weighted;
mod wide;

pub use arguments::{Input, ParameterGradients, Running, Statistics};
pub use moments::{moments, weighted_moments};

use std::ops::Range;

use arguments::Saved;

use crate::config::Config;
use crate::error::Error;
use crate::shape::{View, check_channels, check_tensor};
use crate::stats::{SavedStatistics, filled};
use crate::weights::Outside;
use operations::{Backward, BackwardFrozen, ChannelGradients, Inference, Operation, Train, split};
use running::Counted;

/// Training forward: writes `y = g(x̂·weight + bias + residual)` with the batch's own mean and biased variance, in the shape of `x`,
/// moves `running`, if there is any, and returns what backward needs, `[C]` each, or `[G, C]` of G sub-batches.
///
/// A channel whose statistics f32 cannot hold is NaN in `y` and in all that is saved.
///
/// # Errors
/// A slice that is not as long as its view says; options out of range; one value per channel, of the batch or of a sub-batch,
/// where the running variance is unbiased or none is kept; sub-batches of another view, or beside weights. Nothing is written
/// then.
pub fn train_forward(
    input: &Input<'_>,
    running: Option<Running<'_>>,
    y: &mut [f32],
) -> Result<SavedStatistics, Error> {
    let view = &input.view;
    let config = Config {
        running: running.as_ref().map(|running| running.update),
        ..Config::pytorch().with_eps(input.eps)
    };
    let sub_batches = input.cut()?;
    sub_batches.validate_training(&config)?;
    input.check()?;
    if let Some(Running { statistics, .. }) = &running {
        check_channels(view, "running mean", &statistics.mean)?;
        check_channels(view, "running variance", &statistics.variance)?;
        check_channels(view, "running batches", &statistics.batches)?;
    }
    check_tensor(view, "y", y)?;
    if view.is_empty() {
        // A batch of nothing has no statistics, and moves none.
        return Ok(SavedStatistics::from_rows(&filled(
            5 * view.channels(),
            f32::NAN,
        )?)?);
    }
    let part = |g| normalize(&input.part(&sub_batches, g), &mut y[sub_batches.range(g)]);
    let parts: Vec<_> = (0..sub_batches.count()).map(part).collect();
    if let Some(running) = running {
        running::update(running, &parts);
    }
    let batches = || parts.iter().flat_map(|part| &part.batches);
    let mean: Vec<_> = batches().map(|batch| split(batch.mean)).collect();
    let pivot: Vec<_> = mean.iter().map(|[pivot, _]| *pivot).collect();
    Ok(SavedStatistics {
        batch_mean: pivot.clone(),
        pivot,
        offset: mean.iter().map(|[_, offset]| *offset).collect(),
        inv_std: batches().map(|b| b.inv_std as f32).collect(),
        batch_var: batches().map(|b| b.variance as f32).collect(),
    })
}

/// `y` by the statistics of the input, as if it had no sub-batches, and these statistics.
fn normalize(input: &Input<'_>, y: &mut [f32]) -> Counted {
    let (view, x, eps) = (&input.view, input.x, input.eps);
    let (batches, count) = match input.unequal() {
        None => {
            let op = Train::new(view, x, input.parameters, eps);
            let batches = run(view, x, None, Some(&mut *y), &op);
            (batches, view.count() as f64)
        }
        Some(weights) => {
            let batches = weighted::statistics(view, x, weights, eps);
            weighted::normalize(input, &batches, y);
            (batches, weights.sum())
        }
    };
    epilogue::activate(input, y);
    weighted::clear(input, y);
    Counted { batches, count }
}

/// Inference: writes `y = g(x̂·weight + bias + residual)` with the given statistics, such as a `&RunningStatistics`, in the shape of
/// `x`. A variance below 0 that is not above it with `eps` gives NaN.
///
/// # Errors
/// A slice that is not as long as its view says; `eps` negative or not finite.
pub fn inference<'a>(
    input: &Input<'_>,
    statistics: impl Into<Statistics<'a>>,
    y: &mut [f32],
) -> Result<(), Error> {
    let (view, statistics) = (&input.view, statistics.into());
    Config::pytorch().with_eps(input.eps).validate()?;
    input.check()?;
    statistics.check(view)?;
    check_tensor(view, "y", y)?;
    if view.is_empty() {
        return Ok(());
    }
    let op = Inference {
        statistics,
        parameters: input.parameters,
        eps: input.eps,
    };
    run(view, input.x, None, Some(&mut *y), &op);
    epilogue::activate(input, y);
    weighted::clear(input, y);
    Ok(())
}

/// Backward through the statistics of the batch, which `saved` holds with its `eps`: writes
/// `dx = weight·inv_std·(dy − dbias/m − x̂·dweight/m)`, if asked for, and returns `dweight = Σdy·x̂` and `dbias = Σdy`,
/// `[C]` each; `dy` and `dx` have the shape of `x`. A `dweight` that f32 cannot hold is
/// NaN, and so is that of a channel without statistics; where one of the two is not finite, `dx` of the channel is NaN.
///
/// Behind an activation `dy·g′` stands for `dy` in all of these. Of `input`, `eps` changes nothing, nor does the bias without an
/// activation.
///
/// Sub-batches have to be those of forward. `dx` of one is NaN where its own sums are not finite.
///
/// # Errors
/// A slice that is not as long as its view says; sub-batches of another view, or beside weights.
pub fn backward(
    input: &Input<'_>,
    dy: &[f32],
    saved: &SavedStatistics,
    mut dx: Option<&mut [f32]>,
) -> Result<ParameterGradients, Error> {
    let view = &input.view;
    let sub_batches = input.cut()?;
    input.check_gradients(dy, dx.as_deref())?;
    let saved = Saved::of(saved, &sub_batches)?;
    if view.is_empty() {
        return nothing(view);
    }
    let mut sums: Vec<ChannelGradients> = Vec::new();
    for g in 0..sub_batches.count() {
        let (part, range) = (input.part(&sub_batches, g), sub_batches.range(g));
        let dx = dx.as_deref_mut().map(|dx| &mut dx[range.clone()]);
        let own = differentiate(&part, &dy[range], saved.part(g, view.channels()), dx)?;
        // The first is not added to 0, which would lose the sign of −0.
        match sums.is_empty() {
            true => sums = own,
            false => sums.iter_mut().zip(own).for_each(|(a, b)| *a = a.plus(b)),
        }
    }
    Ok(gathered(sums))
}

/// [`backward`] of the input as if it had no sub-batches.
fn differentiate(
    input: &Input<'_>,
    dy: &[f32],
    saved: Saved<'_>,
    mut dx: Option<&mut [f32]>,
) -> Result<Vec<ChannelGradients>, Error> {
    let view = &input.view;
    let dz = epilogue::upstream(input, dy, saved)?;
    let Some(weights) = input.unequal() else {
        let op = Backward {
            count: view.count(),
            saved,
            weight: input.parameters.weight,
        };
        return Ok(run(view, input.x, Some(&dz), dx, &op));
    };
    let gradients = weighted::backward(input, weights, &dz, saved, dx.as_deref_mut());
    if let Some(dx) = dx {
        weighted::clear(input, dx);
    }
    Ok(gradients)
}

/// Backward through given statistics, such as a `&RunningStatistics`: writes `dx = dy·weight·inv_std`, if asked for, and
/// returns `dweight = Σdy·x̂` and `dbias = Σdy`, `[C]` each; `dy` and `dx` have the shape of `x`. A `dweight` that f32 cannot
/// hold is NaN. A variance below 0 that is not above it with `eps` gives NaN in `dx` and `dweight`.
///
/// Behind an activation `dy·g′` stands for `dy`; without one, the bias of `input` changes nothing.
///
/// # Errors
/// A slice that is not as long as its view says; `eps` negative or not finite.
pub fn backward_frozen<'a>(
    input: &Input<'_>,
    dy: &[f32],
    statistics: impl Into<Statistics<'a>>,
    mut dx: Option<&mut [f32]>,
) -> Result<ParameterGradients, Error> {
    let (view, statistics) = (&input.view, statistics.into());
    Config::pytorch().with_eps(input.eps).validate()?;
    input.check_gradients(dy, dx.as_deref())?;
    statistics.check(view)?;
    if view.is_empty() {
        return nothing(view);
    }
    let op = BackwardFrozen {
        statistics,
        weight: input.parameters.weight,
        eps: input.eps,
    };
    let dz = epilogue::upstream_frozen(input, dy, statistics)?;
    let mut gradients = run(view, input.x, Some(&dz), dx.as_deref_mut(), &op);
    // Where all values are normalized, weights change nothing here.
    let weights = input.unequal().filter(|w| w.outside() == Outside::Zero);
    if let Some(weights) = weights {
        gradients = weighted::frozen_gradients(input, weights, &dz, &op);
        if let Some(dx) = dx {
            weighted::clear(input, dx);
        }
    }
    Ok(gathered(gradients))
}

/// The gradient of the residual after a training forward, in the shape of `x`: `dy·g′`, or `dy` without an activation. It is
/// also what [`backward`] has in place of `dy`.
///
/// # Errors
/// A slice that is not as long as its view says; options out of range; sub-batches of another view, or beside weights.
pub fn dresidual(
    input: &Input<'_>,
    dy: &[f32],
    saved: &SavedStatistics,
    dresidual: &mut [f32],
) -> Result<(), Error> {
    let (view, sub_batches) = (&input.view, input.cut()?);
    input.check_gradients(dy, None)?;
    check_tensor(view, "dresidual", dresidual)?;
    let saved = Saved::of(saved, &sub_batches)?;
    if view.is_empty() {
        return Ok(());
    }
    for g in 0..sub_batches.count() {
        let (part, range) = (input.part(&sub_batches, g), sub_batches.range(g));
        let own = saved.part(g, view.channels());
        let dresidual = &mut dresidual[range.clone()];
        dresidual.copy_from_slice(&epilogue::upstream(&part, &dy[range], own)?);
        weighted::clear(&part, dresidual);
    }
    Ok(())
}

/// [`dresidual`] after inference.
///
/// # Errors
/// As there.
pub fn dresidual_frozen<'a>(
    input: &Input<'_>,
    dy: &[f32],
    statistics: impl Into<Statistics<'a>>,
    dresidual: &mut [f32],
) -> Result<(), Error> {
    let statistics = statistics.into();
    input.check_gradients(dy, None)?;
    check_tensor(&input.view, "dresidual", dresidual)?;
    statistics.check(&input.view)?;
    if !input.view.is_empty() {
        dresidual.copy_from_slice(&epilogue::upstream_frozen(input, dy, statistics)?);
        weighted::clear(input, dresidual);
    }
    Ok(())
}

/// The gradients of an empty batch.
fn nothing(view: &View) -> Result<ParameterGradients, Error> {
    let zeros = filled(view.channels(), 0.0)?;
    Ok(ParameterGradients {
        dweight: zeros.clone(),
        dbias: zeros,
    })
}

fn gathered(gradients: Vec<ChannelGradients>) -> ParameterGradients {
    let rounded = gradients
        .into_iter()
        .map(|g| (g.weight as f32, g.bias as f32));
    let (dweight, dbias) = rounded.unzip();
    ParameterGradients { dweight, dbias }
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
