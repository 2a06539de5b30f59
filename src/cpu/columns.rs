//! The inner loop of every reduction, in the one form that compilers vectorize well: columns side
//! by side, each with sums of its own.

use std::ops::Range;
use std::{array, ptr};

use super::operations::Operation;
use super::wide::wide;
use super::{Tensors, lines};

/// Rows that are added at a time, where there are as many: their terms are added to each other
/// first, so the sums are loaded and stored once for all of them.
const STEP: usize = 4;

/// Columns that are added at a time.
const LANES: usize = 64;

/// How far ahead of what is added memory is asked for what comes next, in values, about.
const AHEAD: usize = 1024;

/// The two sums of neighbouring columns.
pub(super) struct ColumnSums<'a> {
    /// What is subtracted from `x` in each column.
    centers: &'a [f64],
    pub first: Vec<f64>,
    pub second: Vec<f64>,
}

impl<'a> ColumnSums<'a> {
    pub fn new(centers: &'a [f64]) -> Self {
        let zeros = || vec![0.0; centers.len()];
        Self {
            centers,
            first: zeros(),
            second: zeros(),
        }
    }

    pub fn merge(mut self, other: Self) -> Self {
        let add = |a: &mut [f64], b: &[f64]| a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        add(&mut self.first, &other.first);
        add(&mut self.second, &other.second);
        self
    }

    /// Adds the rows that begin every `stride` elements of this range of `t`. The last may end early.
    pub fn add<O: Operation>(&mut self, t: Tensors<'_>, range: Range<usize>, stride: usize) {
        add_rows::<O>(
            t.x,
            t.dy,
            range,
            stride,
            self.centers,
            &mut self.first,
            &mut self.second,
        );
    }
}

wide! {
    fn add_rows<O: Operation>(
        x: &[f32],
        dy: &[f32],
        range: Range<usize>,
        stride: usize,
        centers: &[f64],
        first: &mut [f64],
        second: &mut [f64],
    ) {
        let t = Tensors { x, dy };
        let Range { mut start, end } = range;
        let step = STEP * stride;
        let (ahead, far) = (step * AHEAD.div_ceil(step), step > AHEAD);
        while start + (STEP - 1) * stride + centers.len() <= end {
            let sums = first.chunks_mut(LANES).zip(second.chunks_mut(LANES));
            for (k, (centers, (first, second))) in centers.chunks(LANES).zip(sums).enumerate() {
                let rows = array::from_fn(|i| start + i * stride + k * LANES);
                for row in rows {
                    let next = row + ahead..x.len().min(row + ahead + centers.len());
                    lines::prefetch(x, next.clone(), far);
                    if !ptr::eq(x, dy) {
                        lines::prefetch(dy, next, far);
                    }
                }
                let rows = rows.map(|row| t.slice(row..row + centers.len()));
                add::<O, STEP>(rows, centers, first, second);
            }
            start += step;
        }
        while start < end {
            let columns = centers.len().min(end - start);
            let row = t.slice(start..start + columns);
            add::<O, 1>([row], &centers[..columns], first, second);
            start += stride;
        }
    }
}

/// Adds `N` rows to the two sums of each column.
#[inline(always)]
fn add<O: Operation, const N: usize>(
    rows: [Tensors<'_>; N],
    centers: &[f64],
    first: &mut [f64],
    second: &mut [f64],
) {
    let n = centers.len();
    let rows = rows.map(|row| row.slice(0..n));
    let (first, second) = (&mut first[..n], &mut second[..n]);
    for j in 0..n {
        let [mut a, mut b] = [0.0; 2];
        // Taken all at once, the values need no check of their index.
        for (x, dy) in rows.map(|row| (row.x[j], row.dy[j])) {
            let term = O::terms(f64::from(x) - centers[j], f64::from(dy));
            a += term[0];
            b += term[1];
        }
        first[j] += a;
        second[j] += b;
    }
}
