//! Channels whose values lie in runs long enough to be worth a loop of their own.
//!
//! Channels are worked on in groups of neighbours, each a task of its own from its sums to its
//! last output, so that a group that fits in a core's cache is read from memory once.

use std::array;
use std::ops::Range;

use rayon::prelude::*;

use super::columns::ColumnSums;
use super::lines::{self, LINE, Line};
use super::operations::{Coefficients, Operation};
use super::wide::wide;
use super::{Tensors, tree};
use crate::shape::View;

/// Elements that a group at least has side by side, where its runs are shorter than that.
const BAND: usize = 1024;

/// The longest stretch, in elements, that is summed or mapped in one go.
const PIECE: usize = 16384;

/// Elements, about, that are summed or mapped in one task.
const TASK: usize = 32768;

/// Sums that a run has side by side, unless it has a group's runs beside it.
const LANES: usize = 64;

/// Sums every channel and maps it to `out`, if there is one.
pub(super) fn run<O: Operation>(
    view: &View,
    t: Tensors<'_>,
    out: Option<&mut [f32]>,
    op: &O,
) -> Vec<O::Summary> {
    let streams = lines::streams(t.x.len());
    if !O::SUMS {
        // Nothing is read twice: straight through memory.
        let finished = (0..view.channels()).map(|c| op.finish(c, 0.0, [0.0; 2]));
        let (summaries, coefficients): (Vec<_>, Vec<_>) = finished.unzip();
        if let Some(out) = out {
            let pieces = out.par_chunks_mut(PIECE).enumerate();
            pieces.for_each(|(i, out)| {
                let start = i * PIECE;
                let t = t.slice(start..start + out.len());
                map::<O>(&coefficients, view.inner(), start, t.x, t.dy, out, streams);
                lines::finish(streams);
            });
        }
        return summaries;
    }
    let width = (BAND / view.inner()).clamp(1, view.channels());
    let groups = split(view, width, out);
    let summaries = groups
        .into_par_iter()
        .enumerate()
        .flat_map_iter(|(g, mut out)| {
            let channels = g * width..view.channels().min((g + 1) * width);
            let pieces = pieces(view, &channels);
            let centers: Vec<f64> = channels.clone().map(|c| op.center(c)).collect();
            let sums = sums::<O>(view, t, &centers, &pieces);
            let finished = channels.clone().zip(centers).zip(sums);
            let finished = finished.map(|((c, center), sums)| op.finish(c, center, sums));
            let (summaries, coefficients): (Vec<_>, Vec<_>) = finished.unzip();
            let bundle = bundle(&pieces);
            let tasks = out.par_chunks_mut(bundle).zip(pieces.par_chunks(bundle));
            tasks.for_each(|(out, pieces)| {
                let row = view.channels() * view.inner();
                for (out, piece) in out.iter_mut().zip(pieces) {
                    let start = piece.start % row - channels.start * view.inner();
                    let t = t.slice(piece.clone());
                    map::<O>(&coefficients, view.inner(), start, t.x, t.dy, out, streams);
                }
                lines::finish(streams);
            });
            summaries
        });
    summaries.collect()
}

/// The pieces of a group: ranges of elements, none longer than [`PIECE`], in memory order.
fn pieces(view: &View, channels: &Range<usize>) -> Vec<Range<usize>> {
    let bands = (0..view.outer()).map(|o| {
        let start = o * view.channels();
        (start + channels.start) * view.inner()..(start + channels.end) * view.inner()
    });
    let pieces = bands.flat_map(|band| {
        let starts = band.clone().step_by(PIECE);
        starts.map(move |start| start..band.end.min(start + PIECE))
    });
    pieces.collect()
}

/// `out` in the pieces of each group, the same as [`pieces`] gives.
fn split<'a>(view: &View, width: usize, out: Option<&'a mut [f32]>) -> Vec<Vec<&'a mut [f32]>> {
    let mut groups: Vec<Vec<_>> = Vec::new();
    groups.resize_with(view.channels().div_ceil(width), Vec::new);
    let rows = out.map(|out| out.chunks_mut(view.channels() * view.inner()));
    for row in rows.into_iter().flatten() {
        for (group, band) in groups.iter_mut().zip(row.chunks_mut(width * view.inner())) {
            group.extend(band.chunks_mut(PIECE));
        }
    }
    groups
}

/// How many pieces make a task.
fn bundle(pieces: &[Range<usize>]) -> usize {
    TASK.div_ceil(pieces[0].len())
}

/// The two sums of every channel of a group.
fn sums<O: Operation>(
    view: &View,
    t: Tensors<'_>,
    centers: &[f64],
    pieces: &[Range<usize>],
) -> Vec<[f64; 2]> {
    let long = view.inner() > BAND;
    let lanes = if long { LANES } else { view.inner() };
    let centers: Vec<f64> = centers
        .iter()
        .flat_map(|&c| std::iter::repeat_n(c, lanes))
        .collect();
    let bundle = bundle(pieces);
    let leaf = |i: usize| {
        let mut sums = ColumnSums::new(&centers);
        let pieces = &pieces[i * bundle..pieces.len().min((i + 1) * bundle)];
        if long {
            let pieces = pieces.iter().cloned();
            pieces.for_each(|piece| sums.add::<O>(t, piece, LANES));
        } else {
            let all = pieces[0].start..pieces[pieces.len() - 1].end;
            sums.add::<O>(t, all, view.channels() * view.inner());
        }
        sums
    };
    let sums = tree(0..pieces.len().div_ceil(bundle), &leaf, &ColumnSums::merge);
    let channels = sums.first.chunks(lanes).zip(sums.second.chunks(lanes));
    let channels = channels.map(|(a, b)| [a.iter().sum(), b.iter().sum()]);
    channels.collect()
}

wide! {
    /// Maps the elements from the one at `start` on to `out`; channels repeat after the last.
    fn map<O: Operation>(
        channels: &[Coefficients],
        inner: usize,
        start: usize,
        x: &[f32],
        dy: &[f32],
        out: &mut [f32],
        streams: bool,
    ) {
        if streams {
            by_lines::<O, AVX2, true>(channels, inner, start, x, dy, out);
        } else {
            by_lines::<O, AVX2, false>(channels, inner, start, x, dy, out);
        }
    }
}

#[inline(always)]
fn by_lines<O: Operation, const AVX2: bool, const STREAMS: bool>(
    channels: &[Coefficients],
    inner: usize,
    start: usize,
    x: &[f32],
    dy: &[f32],
    out: &mut [f32],
) {
    let (head, mut out, tail) = lines::parts(out);
    let (x_head, mut x, x_tail) = lines::like(head.len(), x);
    let (dy_head, mut dy, dy_tail) = lines::like(head.len(), dy);
    stretch::<O>(channels, inner, start, x_head, dy_head, head);
    let mut at = start + head.len();
    // No division in the loop: where a run ends, the next channel's begins.
    let (mut channel, mut left) = (at / inner % channels.len(), inner - at % inner);
    let after = |channel: usize| {
        if channel + 1 < channels.len() {
            channel + 1
        } else {
            0
        }
    };
    while !out.is_empty() {
        let k = channels[channel];
        let whole = (left / LINE).min(out.len());
        let lines = out.split_off_mut(..whole).into_iter().flatten();
        let inputs = x.split_off(..whole).into_iter().flatten();
        let inputs = inputs.zip(dy.split_off(..whole).into_iter().flatten());
        for (line, (x, dy)) in lines.zip(inputs) {
            let values = array::from_fn(|j| O::map(k, x[j], dy[j]));
            // SAFETY: `wide` sets `AVX2` where the processor has it, and `run` ends each task that streams.
            #[allow(unsafe_code)]
            unsafe {
                lines::write::<AVX2, STREAMS>(values, line);
            }
        }
        (at, left) = (at + whole * LINE, left - whole * LINE);
        if left == 0 {
            (channel, left) = (after(channel), inner);
            continue;
        }
        let inputs = x.split_off_first().zip(dy.split_off_first());
        let (Some(line), Some((x, dy))) = (out.split_off_first_mut(), inputs) else {
            break;
        };
        // A line of two runs, or of several.
        let mut values = [0.0; LINE];
        if inner >= LINE {
            channel = after(channel);
            let next = channels[channel];
            let this: Line = array::from_fn(|j| O::map(k, x[j], dy[j]));
            let that: Line = array::from_fn(|j| O::map(next, x[j], dy[j]));
            values = array::from_fn(|j| if j < left { this[j] } else { that[j] });
            left += inner - LINE;
        } else {
            stretch::<O>(channels, inner, at, x, dy, &mut values);
            (channel, left) = (
                (at + LINE) / inner % channels.len(),
                inner - (at + LINE) % inner,
            );
        }
        // SAFETY: `wide` sets `AVX2` where the processor has it, and `run` ends each task that streams.
        #[allow(unsafe_code)]
        unsafe {
            lines::write::<AVX2, STREAMS>(values, line);
        }
        at += LINE;
    }
    stretch::<O>(channels, inner, at, x_tail, dy_tail, tail);
}

/// What is no whole line, or a line of many runs.
#[inline(always)]
fn stretch<O: Operation>(
    channels: &[Coefficients],
    inner: usize,
    start: usize,
    x: &[f32],
    dy: &[f32],
    out: &mut [f32],
) {
    let inputs = x.iter().zip(dy);
    for ((at, out), (&x, &dy)) in (start..).zip(out).zip(inputs) {
        *out = O::map(channels[at / inner % channels.len()], x, dy);
    }
}
