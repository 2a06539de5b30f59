//! Channels whose values lie in runs long enough to be worth a loop of their own.
//!
//! Channels are worked on in groups of neighbours, each a task of its own from its sums to its
//! last output, so that a group that fits in a core's cache is read from memory once.

use std::ops::Range;

use rayon::prelude::*;

use super::columns::ColumnSums;
use super::operations::{Coefficients, Operation};
use super::wide::wide;
use super::{Tensors, tree};
use crate::shape::View;

/// Elements that a group at least has side by side, where its runs are shorter than that.
const BAND: usize = 1024;

/// The longest stretch, in elements, that is summed or mapped in one go.
const PIECE: usize = 16384;

/// Elements, about, that are summed in one task.
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
    if !O::SUMS {
        // Nothing is read twice: straight through memory.
        let finished = (0..view.channels()).map(|c| op.finish(c, 0.0, [0.0; 2]));
        let (summaries, coefficients): (Vec<_>, Vec<_>) = finished.unzip();
        if let Some(out) = out {
            let pieces = out.par_chunks_mut(PIECE).enumerate();
            pieces.for_each(|(i, out)| {
                let start = i * PIECE;
                let t = t.slice(start..start + out.len());
                map::<O>(&coefficients, view.inner(), start, t.x, t.dy, out);
            });
        }
        return summaries;
    }
    let width = (BAND / view.inner()).clamp(1, view.channels());
    let groups = split(view, width, out);
    let summaries = groups
        .into_par_iter()
        .enumerate()
        .flat_map_iter(|(g, out)| {
            let channels = g * width..view.channels().min((g + 1) * width);
            let pieces = pieces(view, &channels);
            let centers: Vec<f64> = channels.clone().map(|c| op.center(c)).collect();
            let sums = sums::<O>(view, t, &centers, &pieces);
            let finished = channels.clone().zip(centers).zip(sums);
            let finished = finished.map(|((c, center), sums)| op.finish(c, center, sums));
            let (summaries, coefficients): (Vec<_>, Vec<_>) = finished.unzip();
            out.into_par_iter().zip(pieces).for_each(|(out, piece)| {
                let row = view.channels() * view.inner();
                let start = piece.start % row - channels.start * view.inner();
                let t = t.slice(piece);
                map::<O>(&coefficients, view.inner(), start, t.x, t.dy, out);
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
    let bundle = TASK.div_ceil(pieces[0].len());
    let leaf = |i: usize| {
        let mut sums = ColumnSums::new(&centers);
        let pieces = &pieces[i * bundle..pieces.len().min((i + 1) * bundle)];
        if long {
            let pieces = pieces.iter().cloned();
            pieces.for_each(|piece| sums.add::<O>(t.slice(piece), LANES));
        } else {
            let all = pieces[0].start..pieces[pieces.len() - 1].end;
            sums.add::<O>(t.slice(all), view.channels() * view.inner());
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
    ) {
        let mut done = 0;
        while done < out.len() {
            let at = start + done;
            let k = channels[at / inner % channels.len()];
            let run = done..out.len().min(done + inner - at % inner);
            let (x, dy) = (&x[run.clone()], &dy[run.clone()]);
            for ((out, &x), &dy) in out[run.clone()].iter_mut().zip(x).zip(dy) {
                *out = O::map(k, x, dy);
            }
            done = run.end;
        }
    }
}
