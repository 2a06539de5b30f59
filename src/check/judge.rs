//! Values against their reference, each over its scale.

use super::ends::lost_of_scale;
use super::{FORWARD_BOUND, Finding, Input, SCALE_FLOOR, is_poison, storage};
use crate::element::Element;
use crate::reference::{Moments, Shares};
use crate::shape::View;

/// What is not finite is compared as it is, and scales nothing.
pub(super) fn finite_or_zero(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}

pub(super) fn widen(mean: &[f32], variance: &[f32]) -> Moments {
    let widen = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect();
    Moments {
        mean: widen(mean),
        variance: widen(variance),
    }
}

/// Per channel, the largest finite magnitude of the values that are `seen`.
pub(super) fn largest_finite(
    view: &View,
    values: &[f32],
    seen: impl Fn(usize) -> bool,
) -> Vec<f64> {
    let largest = |c| {
        let seen = view.runs(c).flatten().filter(|&i| seen(i));
        let values = seen.map(|i| values[i]);
        let finite = values.filter(|v| v.is_finite());
        finite.fold(0.0, |max: f64, v| max.max(f64::from(v.abs())))
    };
    (0..view.channels()).map(largest).collect()
}

/// Per channel, the largest |x̂·weight| + |bias|, and the largest |residual|.
pub(super) fn forward_scale(input: &Input<'_>, statistics: &Moments) -> Vec<f64> {
    let Input {
        view,
        x,
        parameters,
        eps,
        epilogue,
        ..
    } = *input;
    let shares = input.shares();
    let seen = |i: usize| !shares.is_padding(i);
    let residual = epilogue.residual;
    let residual = residual.map(|r| largest_finite(&view, r, seen));
    let inv_std = statistics.inv_std(eps);
    let finite = |c| {
        let seen = view.runs(c).flatten().filter(|&i| seen(i));
        seen.map(|i| x[i]).filter(|v| v.is_finite())
    };
    let furthest = |c| {
        finite(c).fold(0.0, |max: f64, v| {
            max.max((f64::from(v) - statistics.mean[c]).abs())
        })
    };
    let scale = |c| {
        let factor = inv_std[c] * f64::from(parameters.weight(c));
        let largest = finite(c).fold(0.0, |max: f64, v| {
            max.max(((f64::from(v) - statistics.mean[c]) * factor).abs())
        });
        let added = residual.as_ref().map_or(0.0, |largest| largest[c]);
        let lost = lost_of_scale(inv_std[c], parameters.weight(c).into());
        let largest = match lost > 0.0 {
            true => largest + lost / FORWARD_BOUND * furthest(c),
            false => largest,
        };
        largest + f64::from(parameters.bias(c)).abs() + added
    };
    (0..view.channels()).map(scale).collect()
}

/// A finding that fails where padding is not exactly 0. Judges leave it out of everything else.
pub(super) fn padding(tensor: &'static str, got: &[f32], shares: &Shares<'_>) -> Option<Finding> {
    let mut wrong = got.iter().enumerate();
    let wrong = wrong.find(|&(i, &got)| got != 0.0 && shares.is_padding(i));
    wrong.map(|(i, &got)| Finding::new(tensor, i, got, 0.0))
}

/// The worst error of f32 results, each value over the scale of its channel.
pub(super) fn judge(
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

/// The worst error of `got`, each value over its scale; what has none is not judged. Callers have compared lengths.
pub(super) fn judge_stored(
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
    debug_assert_eq!(got.len(), expected.len(), "{tensor}");
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
