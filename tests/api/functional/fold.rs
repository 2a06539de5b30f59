//! A trained layer folded into the weights before it.

use wgpu_batchnorm::error::{ConfigError, ShapeError};
use wgpu_batchnorm::functional::{Folded, Trained, fold_into_linear};
use wgpu_batchnorm::{Affine, BatchNorm, Config, Error, Mode, Parameters};

use crate::support::{normals, ordinary, read, upload};
use testkit::case::Case;
use testkit::data::Kind;
use testkit::gpu::gpu;
use testkit::layer::layer_of;

const EPS: f32 = 1e-3;
const C: usize = 5;

struct Values {
    weight: Vec<f32>,
    bias: Vec<f32>,
    mean: Vec<f32>,
    variance: Vec<f32>,
}

impl Values {
    fn new() -> Self {
        Self {
            weight: normals(&[C], 1.0, 0.5, 1),
            bias: normals(&[C], 0.0, 1.0, 2),
            mean: normals(&[C], 0.0, 3.0, 3),
            variance: normals(&[C], 2.0, 0.2, 4),
        }
    }

    fn trained(&self, affine: Affine) -> Trained<'_> {
        Trained::new(
            Parameters::default()
                .with_weight(affine.has_weight().then_some(&self.weight[..]))
                .with_bias(affine.has_bias().then_some(&self.bias[..])),
            &self.mean,
            &self.variance,
            EPS,
        )
    }
}

/// `W·u + b` in f64, and how large its terms are.
fn linear(weight: &[f32], bias: Option<&[f32]>, u: &[f64]) -> Vec<(f64, f64)> {
    let rows = weight.chunks_exact(u.len()).enumerate();
    rows.map(|(c, row)| {
        let terms = row.iter().zip(u).map(|(&w, u)| f64::from(w) * u);
        let bias = bias.map_or(0.0, |bias| f64::from(bias[c]));
        let size = terms.clone().map(f64::abs).sum::<f64>() + bias.abs();
        (terms.sum::<f64>() + bias, size)
    })
    .collect()
}

#[test]
fn the_folded_layer_is_both() {
    let values = Values::new();
    // A linear layer, and a convolution's `[C, in, 3, 3]`: each output is one dot product.
    for inputs in [1, 7, 4 * 3 * 3] {
        let weight = normals(&[C * inputs], 0.0, 0.5, 5);
        let own = normals(&[C], 0.5, 1.0, 6);
        for affine in [Affine::Both, Affine::Weight, Affine::Bias, Affine::None] {
            for bias in [Some(&own[..]), None] {
                let trained = values.trained(affine);
                let folded = fold_into_linear(&trained, &weight, bias).unwrap();
                assert_eq!(folded.weight.len(), weight.len());
                assert_eq!(folded.bias.len(), C);
                for seed in 0..4 {
                    let u: Vec<_> = ordinary(&[inputs], 10 + seed)
                        .into_iter()
                        .map(f64::from)
                        .collect();
                    let before = linear(&weight, bias, &u);
                    let after = linear(&folded.weight, Some(&folded.bias), &u);
                    for c in 0..C {
                        let gamma = f64::from(trained.parameters.weight(c));
                        let variance = f64::from(values.variance[c]);
                        let factor = gamma / (variance + f64::from(EPS)).sqrt();
                        let (z, size) = before[c];
                        let beta = f64::from(trained.parameters.bias(c));
                        let mean = f64::from(values.mean[c]);
                        let expected = (z - mean) * factor + beta;
                        let scale = (size + mean.abs()) * factor.abs() + beta.abs();
                        let error = (after[c].0 - expected).abs() / scale;
                        assert!(error < 1.2e-7, "{inputs} {affine:?} {c}: {error:e}");
                    }
                }
            }
        }
    }
}

/// What the layer evaluates is what the folded weights compute.
#[test]
fn a_layer_on_the_device_folds() {
    let gpu = gpu();
    let shape = [6, C];
    for affine in [Affine::Both, Affine::None] {
        let config = Config::pytorch().with_affine(affine);
        let case = Case::new(&shape, config, Kind::ALL[0], 7);
        let mut layer = layer_of(&gpu, &case);
        let identity: Vec<f32> = (0..C * C)
            .map(|i| if i / C == i % C { 1.0 } else { 0.0 })
            .collect();
        let Folded { weight, bias, .. } =
            pollster::block_on(layer.fold_into_linear(&identity, None)).unwrap();
        let x = upload(&gpu, &shape, &case.x);
        let y = read(&layer.forward(&x, Mode::Eval).unwrap().y);
        for (x, y) in case.x.chunks_exact(C).zip(y.chunks_exact(C)) {
            let x: Vec<f64> = x.iter().map(|&v| v.into()).collect();
            for ((folded, size), &y) in linear(&weight, Some(&bias), &x).into_iter().zip(y) {
                assert!((folded - f64::from(y)).abs() <= 1e-6 * size, "{folded} {y}");
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let values = Values::new();
    let weight = vec![1.0; C * 3];
    let fold = |trained: &Trained<'_>, weight: &[f32], bias: Option<&[f32]>| {
        fold_into_linear(trained, weight, bias)
    };
    let good = values.trained(Affine::Both);
    for len in [0, 1, C * 3 - 1, C * 3 + 1] {
        let refused = fold(&good, &vec![1.0; len], None);
        assert_refused!(
            refused,
            Error::Shape(ShapeError::Length { tensor: "weight", got, .. }) if got == len
        );
    }
    let refused = fold(&good, &weight, Some(&[0.0; C + 1]));
    assert_refused!(
        refused,
        Error::Shape(ShapeError::Length { tensor: "bias", .. })
    );
    let short = Trained::new(
        good.parameters,
        good.mean,
        &values.variance[..C - 1],
        good.eps,
    );
    let refused = fold(&short, &weight, None);
    assert_refused!(
        refused,
        Error::Shape(ShapeError::Length {
            tensor: "running_var",
            ..
        })
    );
    let mut short = good;
    short.parameters.weight = Some(&values.weight[..2]);
    assert_refused!(
        fold(&short, &weight, None),
        Error::Shape(ShapeError::Length {
            tensor: "γ",
            got: 2,
            expected: C
        })
    );
    let mut short = good;
    short.parameters.bias = Some(&[]);
    assert_refused!(
        fold(&short, &weight, None),
        Error::Shape(ShapeError::Length { tensor: "β", .. })
    );
    let none = Trained::new(Parameters::default(), &[], &[], EPS);
    let refused = fold(&none, &weight, None);
    assert_refused!(refused, Error::Config(ConfigError::NoChannels));
    let negative = Trained::new(
        good.parameters,
        good.mean,
        &[1.0, 1.0, -0.5, 1.0, 1.0],
        good.eps,
    );
    let refused = fold(&negative, &weight, None);
    assert_refused!(
        refused,
        Error::Config(ConfigError::RunningStatistic { channel: 2, .. })
    );
    for eps in [f32::NAN, -1.0, f32::INFINITY] {
        let refused = fold(
            &Trained::new(good.parameters, good.mean, good.variance, eps),
            &weight,
            None,
        );
        assert_refused!(refused, Error::Config(ConfigError::Eps { .. }));
    }
    fold(&good, &weight, None).unwrap();
}

#[test]
fn a_layer_without_running_statistics_cannot_be_folded() {
    let gpu = gpu();
    let layer = BatchNorm::new(&gpu, 3, Config::pytorch().without_running()).unwrap();
    let refused = pollster::block_on(layer.fold_into_linear(&[1.0; 3], None));
    assert_refused!(refused, Error::Config(ConfigError::NoRunningStatistics));
}
