//! The functional forms.

use testkit::gpu::gpu;
use wgpu_batchnorm::checked;
use wgpu_batchnorm::error::{BindError, ConfigError};
use wgpu_batchnorm::functional::{
    AffineStep, LinearWeight, Trained, cpu_moments, fold_into_next, fold_into_previous, moments,
    normalize,
};
use wgpu_batchnorm::{Error, Moments, Parameters, Tensor};

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
    let refused =
        fold_into_previous(&trained, &LinearWeight::new(&[1f32, 2.0], &[2, 1]), None).unwrap_err();
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
        fold_into_previous(&trained, &LinearWeight::new(&[1f32, 2.0], &[2, 1]), None)
    };
    let (mean, finite) = (
        [0.5, 0.25],
        "a finite number of at least 0, or one that eps brings above 0",
    );
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

/// γ and mean 0, variance 1, eps 0: each channel is multiplied by γ alone.
fn scaled<'a>(gamma: &'a [f32], zeros: &'a [f32], ones: &'a [f32]) -> Trained<'a> {
    Trained::new(Parameters::default().with_weight(gamma), zeros, ones, 0.0)
}

/// A transposed convolution has its outputs on the second axis; its weight was scaled along the first.
#[test]
fn deconvolution() {
    let trained = scaled(&[2.0, 10.0], &[0.0; 2], &[1.0; 2]);
    let values = [1f32, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
    let weight = LinearWeight::transposed(&values, &[4, 2]);
    let folded = fold_into_previous(&trained, &weight, None).unwrap();
    assert_eq!(
        folded.weight,
        [2.0, 20.0, 6.0, 40.0, 10.0, 60.0, 14.0, 80.0]
    );
    // As another layer's, whose outputs are as many as its inputs here, it does not fit.
    let refused = fold_into_previous(&trained, &LinearWeight::new(&values, &[4, 2]), None);
    let told = "a weight of shape [4, 2] has 4 output channels, the batch norm has 2";
    assert_eq!(refused.unwrap_err().to_string(), told);
}

/// Groups of a transposed convolution share out its inputs.
#[test]
fn grouped_deconvolution() {
    let trained = scaled(&[1.0, 10.0, 100.0, 1000.0], &[0.0; 4], &[1.0; 4]);
    let weight = LinearWeight::transposed(&[1f32; 8], &[4, 2]).with_groups(2);
    let folded = fold_into_previous(&trained, &weight, None).unwrap();
    assert_eq!(
        folded.weight,
        [1.0, 10.0, 1.0, 10.0, 100.0, 1000.0, 100.0, 1000.0]
    );
}

/// A batch norm before a linear layer.
#[test]
fn fold_forward() {
    let parameters = Parameters::default().with_weight(&[2.0, 10.0][..]);
    let parameters = parameters.with_bias(&[1.0, -1.0][..]);
    let trained = Trained::new(parameters, &[0.0; 2], &[1.0; 2], 0.0);
    let weight = LinearWeight::new(&[1f32, 2.0], &[1, 2]);
    let folded = fold_into_next(&trained, &weight, Some(&[0.5]), false).unwrap();
    assert_eq!((folded.weight, folded.bias), (vec![2.0, 20.0], vec![-0.5]));
    // Its border would not see the shift.
    let refused = fold_into_next(&trained, &weight, Some(&[0.5]), true).unwrap_err();
    let told = "channel 0 is shifted by 1.0, which a padded layer does not see at its border";
    assert!(refused.to_string().starts_with(told), "{refused}");
}

/// A variance that eps outweighs, as published files have it.
#[test]
fn variance_below_zero_folds() {
    let trained = Trained::new(Parameters::default(), &[0.0], &[-9.9999e-6], 1e-5);
    let weight = LinearWeight::new(&[1f32], &[1, 1]);
    let folded = fold_into_previous(&trained, &weight, None).unwrap();
    assert!(
        (folded.weight[0] / 99977.8 - 1.0).abs() < 1e-6,
        "{folded:?}"
    );
}

/// A weight whose length merely divides was taken for one that fits.
#[test]
fn weight_of_another_shape() {
    let trained = scaled(&[2.0, 10.0], &[0.0; 2], &[1.0; 2]);
    for (shape, told) in [
        (
            &[4, 1][..],
            "a weight of shape [4, 1] has 4 output channels",
        ),
        (&[2, 3], "weight has 4 values, expected 6"),
        (&[4], "a weight of shape [4] has no axes 0 and 1"),
        (&[], "weight has 4 values, expected 1"),
        (&[2, 2, 0], "shape [2, 2, 0] is empty"),
    ] {
        let weight = LinearWeight::new(&[1f32; 4], shape);
        let refused = fold_into_previous(&trained, &weight, None).unwrap_err();
        assert!(refused.to_string().starts_with(told), "{refused}");
    }
    for groups in [0, 3] {
        let weight = LinearWeight::new(&[1f32; 4], &[2, 2]).with_groups(groups);
        let refused = fold_into_previous(&trained, &weight, None).unwrap_err();
        let told = format!("{groups} groups do not divide the 2 channels");
        assert!(refused.to_string().starts_with(&told), "{refused}");
    }
    for (output, input) in [(0, 0), (1, -1), (2, 0), (0, -3)] {
        let weight = LinearWeight::new(&[1f32; 4], &[2, 2]).with_axes(output, input);
        let refused = fold_into_previous(&trained, &weight, None).unwrap_err();
        assert!(refused.to_string().contains("has no axes"), "{refused}");
    }
    // What f16 does not hold is not rounded to infinity.
    let ones = [half::f16::ONE; 4];
    let weight = LinearWeight::new(&ones, &[2, 2]);
    let large = scaled(&[2.0, 1e6], &[0.0; 2], &[1.0; 2]);
    let refused = fold_into_previous(&large, &weight, None).unwrap_err();
    assert!(
        refused
            .to_string()
            .starts_with("value 2 of the folded weight is 1e6"),
        "{refused}"
    );
}

/// Moments of a batch of no examples: of count 0, and nothing where they are merged.
#[test]
fn empty_batch() {
    let gpu = gpu();
    let none = Tensor::upload(&gpu, &[0, 3, 2], &[]).unwrap();
    for (axes, channels) in [(&[0][..], 6), (&[0, 2], 3), (&[0, 1], 2), (&[0, 1, 2], 1)] {
        let (moments, report) = checked::moments_blocking(&none, axes, false).unwrap();
        report.enforce().unwrap();
        assert_eq!(moments.count(), 0.0);
        assert_eq!(
            moments.rows().read_blocking().unwrap(),
            vec![0.0; 3 * channels]
        );
        let host = moments.read_blocking().unwrap();
        assert!(
            host.mean()
                .iter()
                .chain(&host.variance())
                .all(|v| v.is_nan())
        );
        let (cpu, _) = cpu_moments(&[], &[0, 3, 2], axes, false).unwrap();
        assert_eq!(cpu, host);
        let some = Moments::from_rows(4.0, &vec![2.5; 3 * channels]).unwrap();
        assert_eq!(host.merge(&some).unwrap(), some);
        assert_eq!(some.merge(&host).unwrap(), some);
    }
    // Kept, it has no channels.
    assert!(moments(&none, &[1], false).is_err() && moments(&none, &[], false).is_err());
    // Nothing is normalized by nothing, and something is not.
    let nothing = moments(&none, &[0, 2], false).unwrap();
    let affine = AffineStep::default();
    let (y, report) = checked::normalize_blocking(&none, &nothing, affine, 0.25).unwrap();
    report.enforce().unwrap();
    assert!(y.is_empty());
    let some = Tensor::upload(&gpu, &[1, 3, 2], &[1.0; 6]).unwrap();
    let refused = normalize(&some, &nothing, affine, 0.25).unwrap_err();
    assert!(matches!(
        refused,
        Error::Config(ConfigError::Count { got: 0, least: 1 })
    ));
    let mean = Tensor::upload(&gpu, &[3, 1], &[0.0; 3]).unwrap();
    assert!(
        normalize(&none, (&mean, &mean), affine, 0.25)
            .unwrap()
            .is_empty()
    );
}
