//! The inner loop of every reduction, in the one form that compilers vectorize well: columns side
//! by side, each with sums of its own.

use super::Tensors;
use super::operations::Operation;

/// Rows that are added at a time, where there are as many: their terms are added to each other
/// first, so the sums are loaded and stored once for all of them.
pub(super) const STEP: usize = 4;

/// Adds `N` rows of equal length to the two sums of each column; `center` is the column's.
pub(super) fn add<O: Operation, const N: usize>(
    rows: [Tensors<'_>; N],
    center: impl Fn(usize) -> f64,
    first: &mut [f64],
    second: &mut [f64],
) {
    let n = rows[0].x.len();
    let rows = rows.map(|row| row.slice(0..n));
    let (first, second) = (&mut first[..n], &mut second[..n]);
    for j in 0..n {
        let [mut a, mut b] = [0.0; 2];
        for row in &rows {
            let term = O::terms(f64::from(row.x[j]) - center(j), f64::from(row.dy[j]));
            a += term[0];
            b += term[1];
        }
        first[j] += a;
        second[j] += b;
    }
}
