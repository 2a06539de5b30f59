//! Channels whose values lie in runs long enough to be worth a loop of their own.
//!
//! Channels are worked on in groups of neighbours, each a task of its own from its sums to its
//! last output, so that a group that fits in a core's cache is read from memory once.

use std::ops::Range;

use rayon::prelude::*;

use super::columns::{self, STEP};
use super::operations::{Coefficients, Operation};
use super::{Tensors, tree};
use crate::shape::View;

/// Elements that a group at least has side by side, where its runs are shorter than that.
const BAND: usize = 1024;

/// The longest stretch, in elements, that is summed or mapped in one go.
const PIECE: usize = 8192;

/// Elements, about, that are summed in one task.
const TASK: usize = 32768;

/// Sums that a run has side by side.
const LANES: usize = 128;

/// Sums every channel and maps it to `out`, if there is one.
pub(super) fn run<O: Operation>(
    view: &View,
    t: Tensors<'_>,
    out: Option<&mut [f32]>,
    op: &O,
) -> Vec<O::Summary> {
    let width = (BAND / view.inner).clamp(1, view.channels);
    let groups = split(view, width, out);
    let summaries = groups
        .into_par_iter()
        .enumerate()
        .flat_map_iter(|(g, out)| {
            let channels = g * width..view.channels.min((g + 1) * width);
            let pieces = pieces(view, &channels);
            let centers: Vec<f64> = channels.clone().map(|c| op.center(c)).collect();
            let sums = sums::<O>(view, t, &centers, &pieces);
            let finished = channels.clone().zip(centers).zip(sums);
            let finished = finished.map(|((c, center), sums)| op.finish(c, center, sums));
            let (summaries, coefficients): (Vec<_>, Vec<_>) = finished.unzip();
            out.into_par_iter().zip(pieces).for_each(|(out, piece)| {
                for (k, part) in runs(view, &channels, piece.clone()) {
                    let out = &mut out[part.start - piece.start..part.end - piece.start];
                    map::<O>(coefficients[k], t.slice(part), out);
                }
            });
            summaries
        });
    summaries.collect()
}

/// The pieces of a group: ranges of elements, none longer than [`PIECE`], in memory order.
fn pieces(view: &View, channels: &Range<usize>) -> Vec<Range<usize>> {
    let bands = (0..view.outer).map(|o| {
        let start = o * view.channels;
        (start + channels.start) * view.inner..(start + channels.end) * view.inner
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
    groups.resize_with(view.channels.div_ceil(width), Vec::new);
    let rows = out.map(|out| out.chunks_mut(view.channels * view.inner));
    for row in rows.into_iter().flatten() {
        for (group, band) in groups.iter_mut().zip(row.chunks_mut(width * view.inner)) {
            group.extend(band.chunks_mut(PIECE));
        }
    }
    groups
}

/// The runs, or the one part of a run, in a piece: the channel's place in its group, the range.
fn runs(
    view: &View,
    channels: &Range<usize>,
    piece: Range<usize>,
) -> impl Iterator<Item = (usize, Range<usize>)> {
    let first = view.channel_of(piece.start) - channels.start;
    let starts = piece.clone().step_by(view.inner);
    let inner = view.inner;
    (first..).zip(starts.map(move |start| start..piece.end.min(start + inner)))
}

/// The two sums of every channel of a group.
fn sums<O: Operation>(
    view: &View,
    t: Tensors<'_>,
    centers: &[f64],
    pieces: &[Range<usize>],
) -> Vec<[f64; 2]> {
    if !O::SUMS {
        return vec![[0.0; 2]; centers.len()];
    }
    let bundle = STEP * (TASK / STEP / pieces[0].len()).max(1);
    let leaf = |i: usize| {
        let mut sums = LaneSums::new(view, centers);
        let pieces = &pieces[i * bundle..pieces.len().min((i + 1) * bundle)];
        for step in pieces.chunks(STEP) {
            match <&[_; STEP]>::try_from(step) {
                Ok(step) if step.iter().all(|piece| piece.len() == step[0].len()) => {
                    sums.add::<O, STEP>(t, step.each_ref());
                }
                _ => step.iter().for_each(|piece| sums.add::<O, 1>(t, [piece])),
            }
        }
        sums.fold()
    };
    let merge = |mut a: Vec<[f64; 2]>, b: Vec<[f64; 2]>| {
        for (a, b) in a.iter_mut().flatten().zip(b.iter().flatten()) {
            *a += b;
        }
        a
    };
    tree(0..pieces.len().div_ceil(bundle), &leaf, &merge)
}

/// The two sums of each channel of a group, in lanes: every `lanes`-th value of a run has a sum
/// of its own.
struct LaneSums<'a> {
    inner: usize,
    centers: &'a [f64],
    lanes: usize,
    first: Vec<f64>,
    second: Vec<f64>,
}

impl<'a> LaneSums<'a> {
    fn new(view: &View, centers: &'a [f64]) -> Self {
        let lanes = LANES.min(view.inner);
        let zeros = || vec![0.0; centers.len() * lanes];
        Self {
            inner: view.inner,
            centers,
            lanes,
            first: zeros(),
            second: zeros(),
        }
    }

    /// Adds `N` pieces of equal length.
    fn add<O: Operation, const N: usize>(&mut self, t: Tensors<'_>, pieces: [&Range<usize>; N]) {
        let len = pieces[0].len();
        for (k, &center) in self.centers.iter().enumerate() {
            let lanes = k * self.lanes..(k + 1) * self.lanes;
            let (first, second) = (&mut self.first[lanes.clone()], &mut self.second[lanes]);
            let run = k * self.inner..len.min((k + 1) * self.inner);
            for start in run.clone().step_by(self.lanes) {
                let part = start..run.end.min(start + self.lanes);
                let rows = pieces.map(|p| t.slice(p.start + part.start..p.start + part.end));
                columns::add::<O, N>(rows, |_| center, first, second);
            }
        }
    }

    /// The two sums of each channel.
    fn fold(&self) -> Vec<[f64; 2]> {
        let first = self.first.chunks(self.lanes);
        let channels = first.zip(self.second.chunks(self.lanes));
        let sums = channels.map(|(a, b)| [a.iter().sum(), b.iter().sum()]);
        sums.collect()
    }
}

/// Maps one run to `out`.
fn map<O: Operation>(k: Coefficients, t: Tensors<'_>, out: &mut [f32]) {
    for ((out, &x), &dy) in out.iter_mut().zip(t.x).zip(t.dy) {
        *out = O::map(k, x, dy);
    }
}
