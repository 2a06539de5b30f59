//! A trained layer folded into the weights before it.

use wgpu_batchnorm::error::{ConfigError, FoldError, ShapeError};
use wgpu_batchnorm::functional::{
    self, Folded, LinearWeight, Trained, fold_into_next, fold_into_previous,
};
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
                let shape = [C, inputs];
                let layer = LinearWeight::new(&weight, &shape);
                let folded = fold_into_previous(&trained, &layer, bias).unwrap();
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
        let state = layer.state_blocking().unwrap();
        let trained = Trained::of(&state, layer.config().eps).unwrap();
        let linear_layer = LinearWeight::new(&identity, &[C, C]);
        let Folded { weight, bias, .. } =
            fold_into_previous(&trained, &linear_layer, None).unwrap();
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
        fold_into_previous(trained, &LinearWeight::new(weight, &[C, 3]), bias)
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
    let state = layer.state_blocking().unwrap();
    let refused = Trained::of(&state, EPS);
    assert_refused!(refused, ConfigError::NoRunningStatistics);
}

/// How a layer's weight lies: shape, axes of outputs and inputs, groups, whether it is a transposed convolution's.
type Layout = (&'static [usize], (isize, isize), usize, bool);

/// With 3 taps each; 6 outputs and 4 inputs.
const LAYOUTS: [Layout; 6] = [
    (&[6, 4, 3], (0, 1), 1, false),
    (&[6, 2, 3], (0, 1), 2, false),
    (&[4, 6, 3], (1, 0), 1, true),
    (&[4, 3, 3], (1, 0), 2, true),
    // Keras's.
    (&[3, 4, 6], (-1, -2), 1, false),
    (&[3, 6, 4], (-2, -1), 1, true),
];
const OUTPUTS: usize = 6;
const INPUTS: usize = 4;
const TAPS: usize = 3;

fn layer<'a, T: functional::Float>(values: &'a [T], layout: Layout) -> LinearWeight<'a, T> {
    let (shape, (output, input), groups, transposed) = layout;
    let layer = match transposed {
        true => LinearWeight::transposed(values, shape),
        false => LinearWeight::new(values, shape),
    };
    layer.with_axes(output, input).with_groups(groups)
}

/// The value that leads from an input channel to an output channel at a tap; none between groups.
fn entry(weight: &[f64], layout: Layout, output: usize, input: usize, tap: usize) -> f64 {
    let (shape, (output_axis, input_axis), groups, transposed) = layout;
    let [outputs, inputs] = [OUTPUTS / groups, INPUTS / groups];
    if output / outputs != input / inputs {
        return 0.0;
    }
    let axis = |axis: isize| axis.rem_euclid(shape.len() as isize) as usize;
    let (output_axis, input_axis) = (axis(output_axis), axis(input_axis));
    let mut index = [tap; 3];
    index[output_axis] = if transposed { output % outputs } else { output };
    index[input_axis] = if transposed { input } else { input % inputs };
    weight[(index[0] * shape[1] + index[1]) * shape[2] + index[2]]
}

/// Each output channel of a layer for one value at each tap of each input channel, and the size of what it sums.
fn apply(weight: &[f64], layout: Layout, bias: &[f64], u: &[f64]) -> Vec<(f64, f64)> {
    let of = |output: usize| {
        let pairs = (0..INPUTS).flat_map(|i| (0..TAPS).map(move |tap| (i, tap)));
        let terms = pairs.map(|(i, tap)| entry(weight, layout, output, i, tap) * u[i * TAPS + tap]);
        let size = terms.clone().map(f64::abs).sum::<f64>() + bias[output].abs();
        (terms.sum::<f64>() + bias[output], size)
    };
    (0..OUTPUTS).map(of).collect()
}

fn wide<T: functional::Float>(values: &[T]) -> Vec<f64> {
    values.iter().map(|v| v.to_f64()).collect()
}

/// Both folds of weights of one type, against the two layers one after the other.
fn folds_as_two_layers<T: functional::Float>(unit: f64) {
    for (seed, layout) in LAYOUTS.into_iter().enumerate() {
        let seed = seed as u64;
        let len = layout.0.iter().product();
        let narrow = |values: Vec<f32>| -> Vec<T> {
            values.into_iter().map(|v| T::from_f64(v.into())).collect()
        };
        let weight = narrow(normals(&[len], 0.0, 0.5, 20 + seed));
        let own = narrow(normals(&[OUTPUTS], 0.5, 1.0, 30 + seed));
        let u: Vec<f64> = ordinary(&[INPUTS * TAPS], 40 + seed)
            .into_iter()
            .map(f64::from)
            .collect();
        for bias in [None, Some(&own[..])] {
            let own = bias.map_or(vec![0.0; OUTPUTS], wide);
            for next in [false, true] {
                let channels = if next { INPUTS } else { OUTPUTS };
                let [gamma, mean] = [1.0, 0.3].map(|m| normals(&[channels], m, 0.5, 50 + seed));
                let beta = normals(&[channels], 0.0, 1.0, 60);
                let variance: Vec<f32> = mean.iter().map(|v| 0.5 + v.abs()).collect();
                let parameters = Parameters::default().with_weight(&gamma[..]);
                let parameters = parameters.with_bias(&beta[..]);
                let trained = Trained::new(parameters, &mean, &variance, EPS);
                let norm = |c: usize, z: f64| {
                    let root = (f64::from(variance[c]) + f64::from(EPS)).sqrt();
                    let scale = f64::from(gamma[c]) / root;
                    (scale, (z - f64::from(mean[c])) * scale + f64::from(beta[c]))
                };
                let folded = match next {
                    false => fold_into_previous(&trained, &layer(&weight, layout), bias),
                    // A transposed convolution's border is another matter; it has one tap everywhere here.
                    true if layout.3 => {
                        let refused =
                            fold_into_next(&trained, &layer(&weight, layout), bias, false);
                        let border = Error::Fold(FoldError::Border {
                            layer: "a transposed convolution",
                            channel: 0,
                            shift: norm(0, 0.0).1,
                        });
                        assert_eq!(refused.unwrap_err().to_string(), border.to_string());
                        continue;
                    }
                    true => fold_into_next(&trained, &layer(&weight, layout), bias, false),
                };
                let folded = folded.unwrap();
                let got = apply(&wide(&folded.weight), layout, &wide(&folded.bias), &u);
                let before = match next {
                    false => apply(&wide(&weight), layout, &own, &u),
                    true => {
                        let normed = u.iter().enumerate();
                        let normed: Vec<_> = normed.map(|(k, &u)| norm(k / TAPS, u).1).collect();
                        apply(&wide(&weight), layout, &own, &normed)
                    }
                };
                for (c, ((got, size), (z, terms))) in got.into_iter().zip(before).enumerate() {
                    let (scale, expected) = match next {
                        false => norm(c, z),
                        true => (1.0, z),
                    };
                    // Each folded value was rounded once.
                    let slack = unit * (size + 1e-9 * terms * scale.abs());
                    assert!(
                        (got - expected).abs() <= slack,
                        "{layout:?} {c}: {got} {expected}"
                    );
                }
            }
        }
    }
}

#[test]
fn every_layout_and_type_folds_as_two_layers() {
    // Half a unit in the last place of 1, and what the sums in f64 round.
    folds_as_two_layers::<f32>(2f64.powi(-24) * 1.001);
    folds_as_two_layers::<f64>(1e-14);
    folds_as_two_layers::<half::f16>(2f64.powi(-11) * 1.001);
    folds_as_two_layers::<half::bf16>(2f64.powi(-8) * 1.001);
}
