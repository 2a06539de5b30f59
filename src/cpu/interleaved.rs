//! Channels whose values lie singly or in short runs: memory is walked row by row, and every
//! column of a row keeps sums of its own.
//!
//! A row holds each channel `inner` times, and that as often as it takes to be worth a loop.

use rayon::prelude::*;

use super::columns::ColumnSums;
use super::operations::{Coefficients, Operation};
use super::wide::wide;
use super::{Tensors, tree};
use crate::shape::View;

/// Columns that a row at least has, where there are as many values.
const WIDTH: usize = 512;

/// Columns whose sums are kept at a time: they stay in the first-level cache.
const TILE: usize = 512;

/// Rows that are summed in one task.
const ROWS: usize = 256;

/// Elements that are mapped in one task.
const PIECE: usize = 16384;

/// Sums every channel and maps it to `out`, if there is one.
pub(super) fn run<O: Operation>(
    view: &View,
    t: Tensors<'_>,
    out: Option<&mut [f32]>,
    op: &O,
) -> Vec<O::Summary> {
    let row = view.channels * view.inner;
    let width = row * (WIDTH / row).clamp(1, view.outer);
    let channels = (0..view.channels).into_par_iter().with_min_len(WIDTH);
    let centers: Vec<f64> = channels.map(|c| op.center(c)).collect();
    let sums = sums::<O>(view, width, t, &centers);
    let finished = (0..).zip(centers).zip(sums);
    let finished = finished.map(|((c, center), sums)| op.finish(c, center, sums));
    let (summaries, coefficients): (Vec<_>, Vec<Coefficients>) = finished.unzip();
    if let Some(out) = out {
        let channels = |n: usize| coefficients.iter().map(move |k| k[n]).collect::<Vec<_>>();
        let columns = std::array::from_fn(|n| spread(view, width, &channels(n)));
        let pieces = out.par_chunks_mut(PIECE).enumerate();
        let map = |(i, out): (usize, &mut [f32])| {
            let start = i * PIECE;
            let t = t.slice(start..start + out.len());
            map::<O>(&columns, start % width, t.x, t.dy, out);
        };
        if O::SUMS {
            // From the end, which the caches still hold.
            pieces.rev().for_each(map);
        } else {
            pieces.for_each(map);
        }
    }
    summaries
}

/// One value per channel as one value per column.
fn spread<T: Copy>(view: &View, width: usize, channels: &[T]) -> Vec<T> {
    let runs = channels.iter().map(|&v| std::iter::repeat_n(v, view.inner));
    let row: Vec<T> = runs.flatten().collect();
    row.repeat(width / row.len())
}

/// The two sums of every channel.
fn sums<O: Operation>(view: &View, width: usize, t: Tensors<'_>, centers: &[f64]) -> Vec<[f64; 2]> {
    let mut sums = vec![[0.0; 2]; view.channels];
    if !O::SUMS {
        return sums;
    }
    let centers = spread(view, width, centers);
    let rows = t.x.len().div_ceil(width);
    let tiles = centers.par_chunks(TILE).enumerate().map(|(tile, centers)| {
        let leaf = |i: usize| {
            let mut sums = ColumnSums::new(centers);
            let start = |i: usize| t.x.len().min(i * ROWS * width + tile * TILE);
            sums.add::<O>(t.slice(start(i)..start(i + 1)), width);
            sums
        };
        tree(0..rows.div_ceil(ROWS), &leaf, &ColumnSums::merge)
    });
    let tiles: Vec<_> = tiles.collect();
    let columns = tiles.iter().flat_map(|t| t.first.iter().zip(&t.second));
    let channels = (0..view.channels).flat_map(|c| std::iter::repeat_n(c, view.inner));
    for (c, (first, second)) in channels.cycle().zip(columns) {
        sums[c][0] += first;
        sums[c][1] += second;
    }
    sums
}

wide! {
    /// Maps the elements from the one in `column` on to `out`.
    fn map<O: Operation>(
        columns: &[Vec<f32>; 5],
        column: usize,
        x: &[f32],
        dy: &[f32],
        out: &mut [f32],
    ) {
        let (mut column, mut done) = (column, 0);
        while done < out.len() {
            let n = (columns[0].len() - column).min(out.len() - done);
            let k = columns.each_ref().map(|k| &k[column..][..n]);
            let (x, dy, out) = (&x[done..][..n], &dy[done..][..n], &mut out[done..][..n]);
            for j in 0..n {
                out[j] = O::map(k.map(|k| k[j]), x[j], dy[j]);
            }
            (column, done) = (0, done + n);
        }
    }
}
