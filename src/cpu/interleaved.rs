//! Channels whose values lie singly or in short runs: memory is walked row by row, and every
//! column of a row keeps sums of its own.
//!
//! A row holds each channel `inner` times, and that as often as it takes to be worth a loop.

use std::{array, iter};

use rayon::prelude::*;

use super::columns::ColumnSums;
use super::lines::{self, LINE};
use super::operations::{Coefficients, Operation};
use super::wide::wide;
use super::{Tensors, tree};
use crate::shape::View;

/// Columns that a row at least has, where there are as many values.
const WIDTH: usize = 512;

/// Columns whose sums are kept at a time: they stay in the nearest caches.
const TILE: usize = 1024;

/// Rows that are summed in one task.
const ROWS: usize = 64;

/// Elements, about, that are mapped in one task.
const PIECE: usize = 16384;

/// Sums every channel and maps it to `out`, if there is one.
pub(super) fn run<O: Operation>(
    view: &View,
    t: Tensors<'_>,
    out: Option<&mut [f32]>,
    op: &O,
) -> Vec<O::Summary> {
    let row = view.channels() * view.inner();
    let width = row * (WIDTH / row).clamp(1, view.outer());
    let channels = (0..view.channels()).into_par_iter().with_min_len(WIDTH);
    let centers: Vec<f64> = channels.map(|c| op.center(c)).collect();
    let sums = sums::<O>(view, width, t, &centers);
    let finished = (0..).zip(centers).zip(sums);
    let finished = finished.map(|((c, center), sums)| op.finish(c, center, sums));
    let (summaries, coefficients): (Vec<_>, Vec<Coefficients>) = finished.unzip();
    if let Some(out) = out {
        let columns = array::from_fn(|n| spread(view, width, coefficients.iter().map(|k| k[n])));
        let streams = lines::streams(out.len());
        let piece = width * (PIECE / width).max(1);
        let pieces = out.par_chunks_mut(piece).enumerate();
        let map_piece = |(i, out): (usize, &mut [f32])| {
            let t = t.slice(i * piece..i * piece + out.len());
            map::<O>(&columns, t.x, t.dy, out, streams);
            lines::finish(streams);
        };
        if O::SUMS {
            // From the end, which the caches still hold.
            pieces.rev().for_each(map_piece);
        } else {
            pieces.for_each(map_piece);
        }
    }
    summaries
}

/// One value per channel as one value per column, and those of a line once more.
fn spread<T: Copy>(view: &View, width: usize, channels: impl Iterator<Item = T>) -> Vec<T> {
    let mut columns = Vec::with_capacity(width + LINE);
    match view.inner() {
        1 => columns.extend(channels),
        inner => channels.for_each(|value| columns.extend(iter::repeat_n(value, inner))),
    }
    let row = columns.len();
    while columns.len() < width + LINE {
        let more = (width + LINE - columns.len()).min(row);
        columns.extend_from_within(..more);
    }
    columns
}

/// The two sums of every channel.
fn sums<O: Operation>(view: &View, width: usize, t: Tensors<'_>, centers: &[f64]) -> Vec<[f64; 2]> {
    let mut sums = vec![[0.0; 2]; view.channels()];
    if !O::SUMS {
        return sums;
    }
    let centers = spread(view, width, centers.iter().copied());
    let rows = t.x.len().div_ceil(width);
    let tiles = centers[..width]
        .par_chunks(TILE)
        .enumerate()
        .map(|(tile, centers)| {
            let leaf = |i: usize| {
                let mut sums = ColumnSums::new(centers);
                let start = |i: usize| t.x.len().min(i * ROWS * width + tile * TILE);
                sums.add::<O>(t, start(i)..start(i + 1), width);
                sums
            };
            tree(0..rows.div_ceil(ROWS), &leaf, &ColumnSums::merge)
        });
    let tiles: Vec<_> = tiles.collect();
    let columns = tiles.iter().flat_map(|t| t.first.iter().zip(&t.second));
    let channels = (0..view.channels()).flat_map(|c| iter::repeat_n(c, view.inner()));
    for (c, (first, second)) in channels.cycle().zip(columns) {
        sums[c][0] += first;
        sums[c][1] += second;
    }
    sums
}

wide! {
    /// Maps rows to `out`. The last may end early. Behind the columns of a row come those of a line once more.
    fn map<O: Operation>(
        columns: &[Vec<f32>; 5],
        x: &[f32],
        dy: &[f32],
        out: &mut [f32],
        streams: bool,
    ) {
        if streams {
            by_lines::<O, AVX2, true>(columns, x, dy, out);
        } else {
            by_lines::<O, AVX2, false>(columns, x, dy, out);
        }
    }
}

#[inline(always)]
fn by_lines<O: Operation, const AVX2: bool, const STREAMS: bool>(
    columns: &[Vec<f32>; 5],
    x: &[f32],
    dy: &[f32],
    out: &mut [f32],
) {
    let width = columns[0].len() - LINE;
    let (head, mut out, tail) = lines::parts(out);
    let (x_head, mut x, x_tail) = lines::like(head.len(), x);
    let (dy_head, mut dy, dy_tail) = lines::like(head.len(), dy);
    stretch::<O>(columns, 0, x_head, dy_head, head);
    let mut column = head.len() % width;
    while !out.is_empty() {
        // To the end of the row, and over it where that is within a line.
        let n = (width - column).div_ceil(LINE).min(out.len());
        let lines = out.split_off_mut(..n).into_iter().flatten();
        let inputs = x.split_off(..n).into_iter().flatten();
        let inputs = inputs.zip(dy.split_off(..n).into_iter().flatten());
        // One iterator over all of them ends with the shortest, which leaves the loop a single check.
        let [a, b, c, d, e] = columns
            .each_ref()
            .map(|k| &k[column..].as_chunks::<LINE>().0[..n]);
        let k = a.iter().zip(b).zip(c).zip(d).zip(e);
        for ((line, (x, dy)), ((((a, b), c), d), e)) in lines.zip(inputs).zip(k) {
            let values = array::from_fn(|j| O::map([a[j], b[j], c[j], d[j], e[j]], x[j], dy[j]));
            // SAFETY: `wide` sets `AVX2` where the processor has it, and `run` ends each task that streams.
            #[allow(unsafe_code)]
            unsafe {
                lines::write::<AVX2, STREAMS>(values, line);
            }
        }
        column = (column + n * LINE) % width;
    }
    stretch::<O>(columns, column, x_tail, dy_tail, tail);
}

/// What is no whole line, from this column on.
#[inline(always)]
fn stretch<O: Operation>(
    columns: &[Vec<f32>; 5],
    column: usize,
    x: &[f32],
    dy: &[f32],
    out: &mut [f32],
) {
    let inputs = x.iter().zip(dy);
    for ((j, out), (&x, &dy)) in (column..).zip(out).zip(inputs) {
        *out = O::map(columns.each_ref().map(|k| k[j]), x, dy);
    }
}
