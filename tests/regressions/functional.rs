//! The functional forms.

use testkit::gpu::gpu;
use wgpu_batchnorm::checked;
use wgpu_batchnorm::error::{BindError, ConfigError};
use wgpu_batchnorm::functional::{AffineStep, Trained, fold_into_linear, moments, normalize};
use wgpu_batchnorm::{Error, Parameters, Tensor};

/// Moments of one batch used on another: they fit by their kept axes.
#[test]
fn other_batch() {
    let gpu = gpu();
    // Means 10, 20, 30 and variances 4, 1, 0 of six values.
    let columns = [(10.0, 2.0), (20.0, 1.0), (30.0, 0.0)];
    let sign = |k: usize| if k.is_multiple_of(2) { 1.0 } else { -1.0 };
    let x: Vec<f32> = (0..6)
        .flat_map(|k| columns.map(|(mean, std)| mean + sign(k) * std))
        .collect();
    let x = Tensor::upload(&gpu, &[6, 3], &x).unwrap();
    for keep_dims in [false, true] {
        let moments = moments(&x, &[0], keep_dims).unwrap();
        assert_eq!(moments.count(), 6.0);
        // Of other lengths: that of six values would divide the sums of squares by another count.
        for rows in [4, 1, 7] {
            let other: Vec<f32> = (0..rows).flat_map(|_| [14.0, 22.0, 31.0]).collect();
            let other = Tensor::upload(&gpu, &[rows, 3], &other).unwrap();
            let affine = AffineStep::default();
            let (y, report) = checked::normalize_blocking(&other, &moments, affine, 0.25).unwrap();
            report.enforce().unwrap();
            let y = y.read_blocking().unwrap();
            let expected = [
                4.0 / 4.25f64.sqrt(),
                2.0 / 1.25f64.sqrt(),
                1.0 / 0.25f64.sqrt(),
            ];
            for (k, &y) in y.iter().enumerate() {
                let off = f64::from(y) - expected[k % 3];
                assert!(off.abs() < 1e-6, "{rows} rows, {k}: {y}");
            }
        }
    }
}

/// Folding with an empty mean: there are no channels.
#[test]
fn empty_mean() {
    let trained = Trained::new(Parameters::default(), &[], &[1.0, 1.0], 1e-5);
    let refused = fold_into_linear(&trained, &[1.0, 2.0], None).unwrap_err();
    assert!(matches!(refused, Error::Config(ConfigError::NoChannels)));
    assert!(refused.to_string().contains("0 channels"), "{refused}");
}

/// A tensor that was destroyed is named, whichever of the five it is.
#[test]
fn destroyed_tensor() {
    let gpu = gpu();
    for name in ["x", "mean", "variance", "scale", "shift"] {
        let tensor = |own, shape: &[usize]| {
            let values = vec![1.0; shape.iter().product()];
            let tensor = Tensor::upload(&gpu, shape, &values).unwrap();
            if own == name {
                tensor.buffer().destroy();
            }
            tensor
        };
        let x = tensor("x", &[2, 3]);
        let (mean, variance) = (tensor("mean", &[3]), tensor("variance", &[3]));
        let (scale, shift) = (tensor("scale", &[3]), tensor("shift", &[3]));
        let step = AffineStep::default().with_scale(&scale).with_shift(&shift);
        match normalize(&x, (&mean, &variance), step, 1e-5) {
            Err(Error::Bind(BindError::Unusable { name: told, reason })) => {
                assert_eq!(told, name, "{reason}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    gpu.check_blocking().unwrap();
}

/// Folding with statistics that are not finite, or with a variance of 0 and no eps: the weights were NaN, infinite or 0.
#[test]
fn unfoldable_channel() {
    let fold = |mean: &[f32], variance: &[f32], eps| {
        let trained = Trained::new(Parameters::default(), mean, variance, eps);
        fold_into_linear(&trained, &[1.0, 2.0], None)
    };
    let (mean, finite) = ([0.5, 0.25], "a finite number of at least 0");
    for (variance, expected) in [
        (f32::NAN, finite),
        (f32::INFINITY, finite),
        (-1e-5, finite),
        (0.0, "a number above 0, as eps is 0"),
        (-0.0, "a number above 0, as eps is 0"),
    ] {
        let refused = fold(&mean, &[1.0, variance], 0.0).unwrap_err().to_string();
        let told = format!("running_var of channel 1 is {variance:?}, expected {expected}");
        assert_eq!(refused, told);
    }
    for bad in [f32::NAN, f32::NEG_INFINITY] {
        let refused = fold(&[0.5, bad], &[1.0, 1.0], 1e-5)
            .unwrap_err()
            .to_string();
        let told = format!("running_mean of channel 1 is {bad:?}, expected a finite number");
        assert_eq!(refused, told);
    }
    // A variance of 0 with an eps is ordinary: 1/√0.25 is 2.
    assert_eq!(fold(&mean, &[0.0, 0.0], 0.25).unwrap().weight, [2.0, 4.0]);
}
