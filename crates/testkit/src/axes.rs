//! Reductions over any axes, as naive as can be: index lists, and sums in f64.

use wgpu_batchnorm::View;

/// The memory indices behind each statistic, where `axes` of `shape` are reduced; statistics are
/// row-major over the other axes. Negative axes count from the end.
pub fn groups(shape: &[usize], axes: &[isize]) -> Vec<Vec<usize>> {
    let rank = shape.len() as isize;
    let reduced = |axis: usize| axes.iter().any(|a| (a + rank) % rank == axis as isize);
    let kept: Vec<usize> = (0..shape.len()).filter(|&axis| !reduced(axis)).collect();
    let mut groups = vec![Vec::new(); kept.iter().map(|&axis| shape[axis]).product()];
    for index in 0..shape.iter().product() {
        let coordinate = |axis: usize| {
            let stride: usize = shape[axis + 1..].iter().product();
            index / stride % shape[axis]
        };
        let statistic = kept
            .iter()
            .fold(0, |at, &axis| at * shape[axis] + coordinate(axis));
        groups[statistic].push(index);
    }
    groups
}

/// Mean and biased variance of the values at `indices`.
pub fn mean_and_variance(x: &[f32], indices: &[usize]) -> (f64, f64) {
    let m = indices.len() as f64;
    let values = || indices.iter().map(|&i| f64::from(x[i]));
    let mean = values().sum::<f64>() / m;
    (mean, values().map(|v| (v - mean).powi(2)).sum::<f64>() / m)
}

/// `x` with every statistic's values in one run, and the view of that.
pub fn gather(x: &[f32], groups: &[Vec<usize>]) -> (Vec<f32>, View) {
    let view = View::from_lengths(1, groups.len(), groups[0].len()).unwrap();
    (groups.iter().flatten().map(|&i| x[i]).collect(), view)
}
