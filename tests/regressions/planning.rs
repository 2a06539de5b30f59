//! Views and plans.

use testkit::gpu::narrow;
use wgpu_batchnorm::checked;
use wgpu_batchnorm::error::{PlanError, ShapeError};
use wgpu_batchnorm::{Config, Error, Tensor, View, functional};

/// A view without channels or with runs of length 0 cannot be made: dividing by these would panic.
#[test]
fn zero_view() {
    for [outer, channels, inner] in [[0, 0, 4], [2, 0, 4], [2, 3, 0]] {
        let refused = View::from_lengths(outer, channels, inner);
        assert!(matches!(refused, Err(ShapeError::Empty { .. })));
    }
}

/// Moments of two values each, of so many that a layer's five rows fit no binding: their own three do.
#[test]
fn many_values() {
    let gpu = narrow(8192);
    let channels = 427;
    let refused = gpu.context().plan(&Config::pytorch(), &[2, channels]);
    let Err(PlanError::TooLarge { what, got, .. }) = refused else {
        panic!("five rows of {channels} values are more than 8,192 bytes");
    };
    assert_eq!((what, got), ("saved statistics", 20 * 427));

    let values: Vec<f32> = (0..2 * channels).map(|k| (k * k % 1009) as f32).collect();
    let x = Tensor::upload(&gpu, &[2, channels], &values).unwrap();
    let (moments, report) = checked::moments_blocking(&x, &[0], false).unwrap();
    report.enforce().unwrap();
    let got = moments.read_blocking().unwrap();
    let expected = |k: usize| f64::from(values[k] + values[k + channels]) / 2.0;
    assert!((0..channels).all(|k| (got.mean()[k] - expected(k)).abs() < 1e-4));

    // Normalizing needs no scratch, of which these would have 8,304 bytes.
    let values: Vec<f32> = (0..2 * 519).map(|k| k as f32).collect();
    let x = Tensor::upload(&gpu, &[2, 519], &values).unwrap();
    let refused = functional::moments(&x, &[0], false);
    assert!(matches!(
        refused.unwrap_err(),
        Error::Plan(PlanError::TooLarge {
            what: "a workspace",
            ..
        })
    ));
    let row = |value: f32| Tensor::upload(&gpu, &[519], &[value; 519]).unwrap();
    let (mean, variance) = (row(1.0), row(4.0));
    let statistics = (&mean, &variance);
    let eps = 1e-5;
    let affine = Default::default();
    let (_, report) = checked::normalize_blocking(&x, statistics, affine, eps).unwrap();
    report.enforce().unwrap();
}
