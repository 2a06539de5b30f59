//! Moments over any axes, against sums in f64 over lists of indices.

use wgpu_batchnorm::check::FORWARD_BOUND;
use wgpu_batchnorm::checked;
use wgpu_batchnorm::error::ShapeError;
use wgpu_batchnorm::functional::moments;
use wgpu_batchnorm::{Error, Gpu, Moments};

use crate::support::{bits, normals, ordinary, read, upload, worst};
use testkit::axes::{groups, mean_and_variance};
use testkit::gpu::gpu;

/// Every set of axes of a tensor of this rank.
fn subsets(rank: usize) -> impl Iterator<Item = Vec<isize>> {
    (0..1u32 << rank).map(move |set| {
        let axes = 0..rank as isize;
        axes.filter(|axis| set >> axis & 1 == 1).collect()
    })
}

/// Asserts that `got` are the moments of `x` over `axes`, within the accuracy contract.
fn judge(what: &str, got: &Moments, x: &[f32], shape: &[usize], axes: &[isize]) {
    let groups = groups(shape, axes);
    assert_eq!(got.count(), groups[0].len() as f64, "{what}");
    let (mean, variance): (Vec<_>, Vec<_>) = groups
        .iter()
        .map(|group| mean_and_variance(x, group))
        .unzip();
    let largest = |k: usize| {
        let sizes = groups[k].iter().map(|&i| f64::from(x[i].abs()));
        sizes.fold(0.0, f64::max)
    };
    let error = worst(&got.mean(), &mean, largest);
    assert!(error <= FORWARD_BOUND, "{what}: mean {error:e}");
    let error = worst(&got.variance(), &variance, |k| variance[k]);
    assert!(error <= FORWARD_BOUND, "{what}: variance {error:e}");
}

fn run(gpu: &Gpu, x: &[f32], shape: &[usize], axes: &[isize]) -> Moments {
    let tensor = upload(gpu, shape, x);
    let moments = moments(&tensor, axes, false).unwrap();
    moments.read_blocking().unwrap()
}

#[test]
fn every_set_of_axes() {
    let gpu = gpu();
    for shape in [
        [2, 3, 4, 5],
        [9, 2, 7, 33],
        [3, 1, 4, 6],
        [1, 5, 1, 7],
        [4, 1, 1, 1],
        [1, 1, 1, 1],
    ] {
        let x = ordinary(&shape, 1);
        for axes in subsets(4) {
            let got = run(&gpu, &x, &shape, &axes);
            judge(&format!("{shape:?} {axes:?}"), &got, &x, &shape, &axes);
        }
    }
}

#[test]
fn negative_axes_and_their_order_change_nothing() {
    let gpu = gpu();
    let shape = [2, 3, 4, 5];
    let x = ordinary(&shape, 2);
    for axes in subsets(4) {
        let expected = run(&gpu, &x, &shape, &axes);
        let negative: Vec<_> = axes.iter().rev().map(|axis| axis - 4).collect();
        assert_eq!(run(&gpu, &x, &shape, &negative), expected, "{axes:?}");
    }
}

#[test]
fn other_ranks() {
    let gpu = gpu();
    for (shape, axes) in [
        (&[1000][..], &[0][..]),
        (&[1], &[]),
        (&[17, 65], &[1]),
        (&[17, 65], &[0]),
        (&[2, 3, 4, 5, 6], &[0, 2, 4]),
        (&[2, 3, 4, 5, 6], &[1, 3]),
        (&[2, 2, 2, 2, 2, 2, 2, 2], &[0, 2, 4, 6]),
        (&[2, 2, 2, 2, 2, 2, 2, 2], &[1, 3, 5, 7]),
    ] {
        let x = ordinary(shape, 3);
        let got = run(&gpu, &x, shape, axes);
        judge(&format!("{shape:?} {axes:?}"), &got, &x, shape, axes);
    }
}

#[test]
fn kept_dimensions() {
    let gpu = gpu();
    let shape = [2, 3, 4, 5];
    let x = upload(&gpu, &shape, &ordinary(&shape, 4));
    for axes in subsets(4) {
        let reduced = |axis: usize| axes.contains(&(axis as isize));
        let kept = (0..4)
            .filter(|&axis| !reduced(axis))
            .map(|axis| shape[axis]);
        let ones = (0..4).map(|axis| if reduced(axis) { 1 } else { shape[axis] });
        let dropped = moments(&x, &axes, false).unwrap();
        let held = moments(&x, &axes, true).unwrap();
        assert_eq!(dropped.shape(), kept.collect::<Vec<_>>());
        assert_eq!(held.shape(), ones.collect::<Vec<_>>());
        assert_eq!(dropped.count() * dropped.rows().shape()[1] as f64, 120.0);
        assert_eq!(bits(&read(held.rows())), bits(&read(dropped.rows())));
    }
}

/// Over no axes every value is its own mean, and nothing is rounded.
#[test]
fn no_axes() {
    let gpu = gpu();
    let shape = [3, 4, 5];
    let x = normals(&shape, 1e6, 1.0, 5);
    let got = run(&gpu, &x, &shape, &[]);
    assert_eq!(got.mean(), crate::support::wide(&x));
    assert_eq!(got.variance(), [0.0; 60]);
}

#[test]
fn large_means_through_strides() {
    let gpu = gpu();
    let shape = [5, 6, 40, 7];
    for (mean, std) in [(1e4, 1.0), (1e3, 1e-2), (1e6, 1.0)] {
        let x = normals(&shape, mean, std, 6);
        for axes in [&[0, 2][..], &[1, 3], &[2], &[0, 1, 2]] {
            let what = format!("mean {mean:e} {axes:?}");
            judge(&what, &run(&gpu, &x, &shape, axes), &x, &shape, axes);
            let tensor = upload(&gpu, &shape, &x);
            let (_, report) = checked::moments_blocking(&tensor, axes, false).unwrap();
            assert!(report.passed());
        }
    }
}

#[test]
fn a_report_says_what_was_compared() {
    let gpu = gpu();
    let x = upload(&gpu, &[4, 5, 6], &ordinary(&[4, 5, 6], 7));
    let (checked, report) = checked::moments_blocking(&x, &[0, 2], false).unwrap();
    let names: Vec<_> = report.findings.iter().map(|f| f.tensor).collect();
    assert_eq!(names, ["mean", "variance"]);
    assert!(report.passed());
    // And the results are the same.
    let unchecked = moments(&x, &[0, 2], false).unwrap();
    assert_eq!(bits(&read(unchecked.rows())), bits(&read(checked.rows())));
}

#[test]
fn a_nan_stays_in_its_statistic() {
    let gpu = gpu();
    let shape = [4, 5, 6];
    for axes in [&[0, 2][..], &[1], &[0]] {
        let clean = ordinary(&shape, 8);
        let expected = run(&gpu, &clean, &shape, axes);
        for poison in [f32::NAN, f32::INFINITY] {
            let mut x = clean.clone();
            x[37] = poison;
            let got = run(&gpu, &x, &shape, axes);
            for (k, group) in groups(&shape, axes).iter().enumerate() {
                if group.contains(&37) {
                    assert!(got.mean()[k].is_nan() && got.variance()[k].is_nan());
                } else {
                    assert_eq!(got.mean()[k], expected.mean()[k], "{axes:?} {k}");
                    assert_eq!(got.variance()[k], expected.variance()[k]);
                }
            }
        }
    }
}

#[test]
fn bad_axes() {
    let gpu = gpu();
    let x = upload(&gpu, &[2, 3, 4], &ordinary(&[2, 3, 4], 9));
    let over = |axes: &[isize]| moments(&x, axes, false);
    assert_refused!(
        over(&[0, 1, 0]),
        Error::Shape(ShapeError::RepeatedAxis { axis: 0 })
    );
    assert_refused!(
        over(&[2, -1]),
        Error::Shape(ShapeError::RepeatedAxis { axis: 2 })
    );
    for axis in [3, -4, isize::MAX, isize::MIN] {
        assert_refused!(
            over(&[1, axis]),
            Error::Shape(ShapeError::Axis { axis: got, .. }) if got == axis
        );
    }
    let scalar = upload(&gpu, &[], &[1.0]);
    let refused = moments(&scalar, &[], false);
    assert_refused!(refused, Error::Shape(ShapeError::Rank { .. }));
    over(&[1, -1]).unwrap();
}

#[test]
fn axes_that_alternate_too_often() {
    let gpu = gpu();
    let shape = [2; 18];
    let x = upload(&gpu, &shape, &ordinary(&shape, 10));
    let refused = moments(&x, &[0, 2, 4, 6, 8, 10, 12, 14, 16], false);
    assert_refused!(
        refused,
        Error::Shape(ShapeError::Alternations {
            got: 18,
            limit: 16,
            ..
        })
    );
    // Seventeen groups: nine of one kind are one too many.
    let refused = moments(&x, &[0, 2, 4, 6, 8, 10, 12, 14, 16, 17], false);
    assert_refused!(refused, Error::Shape(ShapeError::Alternations { .. }));
    moments(&x, &[0, 2, 4, 6, 8, 10, 12, 14], false).unwrap();
}

/// Parts of a batch, as several devices or several steps hold them.
#[test]
fn shards_merge_into_the_whole() {
    let gpu = gpu();
    for (mean, std) in [(0.3, 1.5), (1e4, 1.0), (1e3, 1e-2)] {
        let shape = [11, 3, 5, 7];
        let x = normals(&shape, mean, std, 11);
        let (mut start, mut parts) = (0, Vec::new());
        for outer in [1, 4, 2, 4] {
            let len = outer * 3 * 5 * 7;
            let part = [outer, 3, 5, 7];
            parts.push(run(&gpu, &x[start..start + len], &part, &[0, 2, 3]));
            start += len;
        }
        assert_eq!(start, x.len());
        let first = parts[0].clone();
        let merged = parts[1..]
            .iter()
            .fold(first.clone(), |all, part| all.merge(part).unwrap());
        assert_eq!(merged.count(), 11.0 * 35.0);
        assert_eq!(merged.pivot(), first.pivot());
        judge("merged", &merged, &x, &shape, &[0, 2, 3]);
        // In any order.
        let reversed = parts
            .iter()
            .rev()
            .cloned()
            .reduce(|all, part| all.merge(&part).unwrap());
        judge("reversed", &reversed.unwrap(), &x, &shape, &[0, 2, 3]);
    }
}
