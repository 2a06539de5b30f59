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
        let columns =
            std::array::from_fn(|n| spread(view, width, coefficients.iter().map(|k| k[n])));
        let piece = width * (PIECE / width).max(1);
        let pieces = out.par_chunks_mut(piece).enumerate();
        let map_piece = |(i, out): (usize, &mut [f32])| {
            let t = t.slice(i * piece..i * piece + out.len());
            map::<O>(&columns, t.x, t.dy, out);
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

/// One value per channel as one value per column.
fn spread<T: Copy>(view: &View, width: usize, channels: impl Iterator<Item = T>) -> Vec<T> {
    let mut columns = Vec::with_capacity(width);
    for value in channels {
        columns.extend(std::iter::repeat_n(value, view.inner()));
    }
    columns.repeat(width / columns.len())
}

/// The two sums of every channel.
fn sums<O: Operation>(view: &View, width: usize, t: Tensors<'_>, centers: &[f64]) -> Vec<[f64; 2]> {
    let mut sums = vec![[0.0; 2]; view.channels()];
    if !O::SUMS {
        return sums;
    }
    let centers = spread(view, width, centers.iter().copied());
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
    let channels = (0..view.channels()).flat_map(|c| std::iter::repeat_n(c, view.inner()));
    for (c, (first, second)) in channels.cycle().zip(columns) {
        sums[c][0] += first;
        sums[c][1] += second;
    }
    sums
}

wide! {
    /// Maps rows to `out`. The last may end early.
    fn map<O: Operation>(columns: &[Vec<f32>; 5], x: &[f32], dy: &[f32], out: &mut [f32]) {
        let width = columns[0].len();
        for start in (0..out.len()).step_by(width) {
            let n = width.min(out.len() - start);
            let k = columns.each_ref().map(|k| &k[..n]);
            let (x, dy, out) = (&x[start..][..n], &dy[start..][..n], &mut out[start..][..n]);
            for j in 0..n {
                out[j] = O::map(k.map(|k| k[j]), x[j], dy[j]);
            }
        }
    }
}
