//! y = g(BN(x) + residual), forward and back, in every memory pattern and every storage.

use wgpu_batchnorm::checked::{self, Checked};
use wgpu_batchnorm::functional::{self, AffineStep};
use wgpu_batchnorm::internals::plan::Tuning;
use wgpu_batchnorm::{
    Activation, BackwardRequest, BatchNorm, Config, Element, ForwardRequest, Mode, Tensor,
};

use testkit::case::Case;
use testkit::data::Kind;
use testkit::gpu::{GpuEngine, gpu};
use testkit::outcome::{Cpu, Engine, judge};

const ACTIVATIONS: [Activation; 15] = [
    Activation::None,
    Activation::Relu,
    Activation::Relu6,
    Activation::LeakyRelu(0.1),
    Activation::HardTanh(-0.75, 0.5),
    Activation::HardSigmoid,
    Activation::HardSwish,
    Activation::Elu(1.0),
    Activation::Elu(0.3),
    Activation::Sigmoid,
    Activation::Softplus,
    Activation::Tanh,
    Activation::Silu,
    Activation::Gelu,
    Activation::GeluTanh,
];

/// One value a load, four of a run, four channels, several columns of four a lane; split and
/// resident.
const SHAPES: [(&[usize], isize); 6] = [
    (&[3, 5, 7, 7], 1),
    (&[3, 6, 8, 18], 1),
    (&[67, 9], 1),
    (&[131, 12], 1),
    (&[90, 64], 1),
    (&[1, 3, 4001], 1),
];

fn implementations() -> Vec<Box<dyn Engine>> {
    let gpu = gpu();
    let new = |name, tuning| Box::new(GpuEngine::new(&gpu, name, tuning));
    vec![
        new("cpu adapter", Tuning::CPU_ADAPTER),
        new("gpu", Tuning::DISCRETE),
        Box::new(Cpu),
    ]
}

fn assert_within(cases: impl Iterator<Item = Case>) {
    let implementations = implementations();
    let mut failures = Vec::new();
    for case in cases {
        for implementation in &implementations {
            // The CPU path is of f32.
            if implementation.name() == Cpu.name() && case.config.element != Element::F32 {
                continue;
            }
            let report = judge(&case, &implementation.run(&case));
            let missed = report.findings.iter().filter(|finding| !finding.passed());
            failures
                .extend(missed.map(|f| format!("{}, {}: {f}", implementation.name(), case.name)));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_activation_in_both_patterns() {
    let cases = ACTIVATIONS.into_iter().flat_map(|activation| {
        [SHAPES[1], SHAPES[3]].map(|(shape, axis)| {
            let config = Config::pytorch()
                .with_axis(axis)
                .with_activation(activation);
            Case::new(shape, config, Kind::ALL[0], 41).with_residual(42)
        })
    });
    assert_within(cases);
}

#[test]
fn an_activation_in_every_shape_without_a_residual() {
    let cases = SHAPES.map(|(shape, axis)| {
        let config = Config::onnx()
            .with_axis(axis)
            .with_activation(Activation::Silu);
        Case::new(shape, config, Kind::ALL[0], 40)
    });
    assert_within(cases.into_iter());
}

#[test]
fn every_kind_of_data_through_activations() {
    let cases = Kind::ALL.into_iter().flat_map(|kind| {
        [
            Activation::Relu,
            Activation::Gelu,
            Activation::Tanh,
            Activation::HardSwish,
            Activation::Elu(1.0),
            Activation::Softplus,
            Activation::GeluTanh,
        ]
        .map(|activation| {
            let config = Config::pytorch().with_activation(activation);
            Case::new(&[4, 9, 19, 23], config, kind, 43).with_residual(44)
        })
    });
    assert_within(cases);
}

#[test]
fn a_hot_pixel_among_the_samples_of_a_pivot_stays_out_of_gradients() {
    let cases = [Activation::Relu, Activation::Gelu]
        .into_iter()
        .flat_map(|activation| {
            [(&[1, 3, 64, 64][..], 1), (&[4096, 3], 1)].map(|(shape, axis)| {
                let config = Config::pytorch()
                    .with_axis(axis)
                    .with_activation(activation);
                let mut case = Case::new(shape, config, Kind::ALL[0], 52);
                for c in 0..case.view.channels() {
                    let places: Vec<_> = case.view.runs(c).flatten().collect();
                    // The third of the five that `pivot.wgsl` takes.
                    case.x[places[((places.len() - 1) as f32 * 0.472_136) as usize]] = 1e6;
                }
                // A mean that is off moves dweight by its share of Σdz.
                case.dy.iter_mut().for_each(|dy| *dy = dy.abs());
                case
            })
        });
    assert_within(cases);
}

#[test]
fn what_is_no_number_stays_so_in_every_activation() {
    // Inference's statistics stay finite: two values are lost, a NaN of either sign, and no other.
    let implementations = implementations();
    for activation in ACTIVATIONS {
        for (shape, axis) in [SHAPES[1], SHAPES[3]] {
            let config = Config::pytorch()
                .with_axis(axis)
                .with_activation(activation);
            let mut case = Case::new(shape, config, Kind::ALL[0], 48);
            let at = case.x.len() / 2;
            case.x[at] = f32::NAN;
            case.x[at + 1] = f32::from_bits(0xffc0_0000);
            for implementation in &implementations {
                let frozen = implementation.run(&case).frozen.unwrap();
                let lost = |values: &[f32]| -> Vec<usize> {
                    let lost = values.iter().enumerate().filter(|(_, v)| v.is_nan());
                    lost.map(|(i, _)| i).collect()
                };
                assert_eq!(lost(&frozen.y), [at, at + 1], "{activation:?}");
                // Without an activation dx does not look at x.
                let seen = 2 * usize::from(activation != Activation::None);
                let expected = &[at, at + 1][..seen];
                assert_eq!(lost(&frozen.gradients.dx), expected, "{activation:?}");
            }
        }
    }
}

/// NaN in one channel of x: of dbias and dresidual an activation loses what it has no side for, and without one both are as
/// they were.
#[test]
fn dz_is_known_without_statistics_where_there_is_no_activation() {
    let implementations = implementations();
    // What goes by relu's way, by a slope, and by neither.
    for activation in [Activation::None, Activation::Relu, Activation::Elu(0.3)] {
        for (shape, axis) in SHAPES {
            let config = Config::pytorch()
                .with_axis(axis)
                .with_activation(activation);
            let good = Case::new(shape, config, Kind::ALL[0], 53).with_residual(54);
            let mut bad = good.clone();
            let at = bad.x.len() / 2;
            bad.x[at] = f32::NAN;
            let hit = bad.view.channel_of(at);
            for implementation in &implementations {
                let what = format!("{}, {activation:?}, {shape:?}", implementation.name());
                let clean = implementation.run(&good);
                let outcome = implementation.run(&bad);
                assert!(judge(&bad, &outcome).passed(), "{what}");
                assert!(outcome.gradients.dweight[hit].is_nan(), "{what}");
                let here = || bad.view.runs(hit).flatten();
                if activation == Activation::None {
                    assert_eq!(outcome.gradients.dbias, clean.gradients.dbias, "{what}");
                    assert_eq!(outcome.dresidual, clean.dresidual, "{what}");
                    assert_eq!(outcome.dresidual, good.dy, "{what}");
                } else {
                    assert!(outcome.gradients.dbias[hit].is_nan(), "{what}");
                    assert!(here().all(|i| outcome.dresidual[i].is_nan()), "{what}");
                }
                // A variance that is none, through frozen statistics.
                let mut bad = good.clone();
                bad.running.as_mut().unwrap().variance[hit] = -1.0;
                let outcome = implementation.run(&bad);
                assert!(judge(&bad, &outcome).passed(), "{what}");
                let frozen = outcome.frozen.unwrap();
                let known = activation == Activation::None;
                assert_eq!(!frozen.gradients.dbias[hit].is_nan(), known, "{what}");
                assert!(
                    here().all(|i| frozen.dresidual[i].is_nan() != known),
                    "{what}"
                );
            }
        }
    }
}

#[test]
fn kinks_have_pytorchs_slopes() {
    // A constant channel has its bias as z throughout.
    let implementations = implementations();
    let hard_tanh = Activation::HardTanh(-0.75, 0.5);
    for (activation, kink, slope) in [
        (Activation::Relu, 0.0, 0.0),
        (Activation::LeakyRelu(0.25), 0.0, 0.25),
        (Activation::Elu(0.25), 0.0, 0.25),
        (Activation::Relu6, 0.0, 0.0),
        (Activation::Relu6, 6.0, 0.0),
        (hard_tanh, -0.75, 0.0),
        (hard_tanh, 0.5, 0.0),
        (Activation::HardSigmoid, -3.0, 0.0),
        (Activation::HardSigmoid, 3.0, 0.0),
        (Activation::HardSwish, -3.0, 0.0),
        (Activation::HardSwish, 3.0, 1.0),
    ] {
        for (shape, axis) in [SHAPES[1], SHAPES[3]] {
            let config = Config::pytorch()
                .with_axis(axis)
                .with_activation(activation);
            let mut case = Case::new(shape, config, Kind::Constant, 49);
            case.x.fill(3.0);
            case.dy.fill(1.0);
            case.bias = Some(vec![kink; case.view.channels()]);
            let expected = vec![slope * case.view.count() as f32; case.view.channels()];
            for implementation in &implementations {
                let gradients = implementation.run(&case).gradients;
                assert_eq!(gradients.dbias, expected, "{activation:?} at {kink}");
            }
        }
    }
}

#[test]
fn what_is_closed_lets_nothing_through() {
    let implementations = implementations();
    let hard_tanh = Activation::HardTanh(-0.75, 0.5);
    let both = [Activation::Relu6, hard_tanh, Activation::HardSigmoid];
    let closed = both.iter().flat_map(|&a| [(a, -1e4), (a, 1e4)]);
    let below = [Activation::Relu, Activation::HardSwish].map(|a| (a, -1e4));
    for ((activation, far), (shape, axis)) in closed
        .chain(below)
        .flat_map(|way| [SHAPES[1], SHAPES[3]].map(|shape| (way, shape)))
    {
        let config = Config::pytorch()
            .with_axis(axis)
            .with_activation(activation);
        let mut case = Case::new(shape, config, Kind::ALL[0], 50).with_residual(51);
        // Closed, whatever the statistics.
        for (at, infinite) in [(7, f32::INFINITY), (case.x.len() - 1, f32::NAN)] {
            case.residual.as_mut().unwrap()[at] = far;
            case.dy[at] = infinite;
        }
        for implementation in &implementations {
            let outcome = implementation.run(&case);
            let report = judge(&case, &outcome);
            assert!(report.passed(), "{}: {:?}", case.name, report.worst());
            let g = &outcome.gradients;
            let mut all = [&g.dx, &g.dweight, &g.dbias].into_iter().flatten();
            assert!(all.all(|v| v.is_finite()), "{}", case.name);
        }
    }
}

#[test]
fn halves_of_both_types_in_every_shape() {
    let cases = [Element::F16, Element::Bf16]
        .into_iter()
        .flat_map(|element| {
            SHAPES.into_iter().flat_map(move |(shape, axis)| {
                let config = Config::pytorch().with_axis(axis).with_element(element);
                let relu = config.with_activation(Activation::Relu);
                [
                    Case::new(shape, config, Kind::ALL[0], 45),
                    Case::new(shape, relu, Kind::ALL[0], 46).with_residual(47),
                ]
            })
        });
    assert_within(cases);
}

#[test]
fn halves_of_every_kind_of_data() {
    let cases = Kind::ALL.into_iter().flat_map(|kind| {
        [Element::F16, Element::Bf16]
            .into_iter()
            .flat_map(move |element| {
                [
                    (&[4, 9, 19, 23][..], 1),
                    (&[437, 12], 1),
                    (&[5, 7, 3, 8], 1),
                ]
                .map(|(shape, axis)| {
                    let config = Config::keras().with_axis(axis).with_element(element);
                    Case::new(shape, config, kind, 48)
                })
            })
    });
    // f16 ends at 65,504.
    assert_within(cases.filter(|case| case.x.iter().all(|v| v.is_finite())));
}

#[test]
fn functional_forms_take_halves() {
    let gpu = gpu();
    for element in [Element::F16, Element::Bf16] {
        // Dense in both patterns, and alternating.
        for axes in [&[0isize, 2, 3][..], &[0, 1, 2], &[0, 2]] {
            let shape = [3, 5, 7, 9];
            let case = Case::new(&shape, Config::pytorch(), Kind::ALL[0], 49);
            let x = Tensor::upload_as(&gpu, &shape, element, &case.x).unwrap();
            let (moments, report) = checked::moments_blocking(&x, axes, true).unwrap();
            report.enforce().unwrap();
            let affine = AffineStep::default();
            let (y, report) = checked::normalize_blocking(&x, &moments, affine, 1e-5).unwrap();
            report.enforce().unwrap();
            assert_eq!(y.element(), element);
            // Statistics are f32.
            let mean = Tensor::empty_as(&gpu, &moments.shape(), element).unwrap();
            let refused = functional::normalize(&x, (&mean, &mean), affine, 1e-5);
            let refused = refused.unwrap_err().to_string();
            assert!(
                refused.contains("mean") && refused.contains("F32"),
                "{refused}"
            );
        }
    }
}

#[test]
fn a_layer_enforces_what_it_fuses() {
    let gpu = gpu();
    let config = Config::pytorch().with_activation(Activation::Gelu);
    let element = Element::F16;
    let case = Case::new(
        &[6, 5, 7, 7],
        config.with_element(element),
        Kind::ALL[0],
        50,
    );
    let case = case.with_residual(51);
    let upload =
        |values: &[f32], element| Tensor::upload_as(&gpu, &case.shape, element, values).unwrap();
    let (x, dy) = (upload(&case.x, element), upload(&case.dy, element));
    let residual = upload(case.residual.as_deref().unwrap(), element);
    let mut layer = Checked::new(BatchNorm::new(&gpu, 5, config).unwrap());
    for mode in [Mode::Train, Mode::Eval] {
        let request = ForwardRequest::new(mode).with_residual(&residual);
        let saved = &layer.forward_blocking(&x, request).unwrap().saved;
        let all = BackwardRequest::new(saved).with_dresidual(true);
        let gradients = layer.backward_blocking(&x, &dy, all).unwrap();
        assert_eq!(gradients.dx.unwrap().element(), element);
        assert_eq!(gradients.dresidual.unwrap().element(), element);

        // Elements that do not fit are named.
        let wrong = upload(&case.dy, Element::Bf16);
        let request = ForwardRequest::new(mode).with_residual(&wrong);
        let refused = layer.forward_blocking(&x, request).unwrap_err();
        assert!(refused.to_string().contains("residual"), "{refused}");
        let refused = layer.backward_blocking(&x, &wrong, all).unwrap_err();
        assert!(refused.to_string().contains("dy"), "{refused}");
        let grads = Tensor::empty_as(&gpu, &[2, 5], element).unwrap();
        let refused = layer.backward_blocking(&x, &dy, all.with_add_into(&grads));
        let refused = refused.unwrap_err();
        assert!(refused.to_string().contains("gradients"), "{refused}");

        // In place, and no way back.
        let over = upload(&case.x, element);
        let request = ForwardRequest::new(mode).with_in_place(true);
        let forward = layer.forward_blocking(&over, request).unwrap();
        assert!(forward.y.buffer() == over.buffer());
        let refused = layer.backward_blocking(&over, &dy, &forward.saved);
        let refused = refused.unwrap_err();
        assert!(refused.to_string().contains("put y over it"), "{refused}");
    }
}

/// Squares and cubes of z that f32 does not hold.
#[test]
fn far_from_zero_activations_are_at_their_ends() {
    let implementations = implementations();
    for activation in ACTIVATIONS {
        for (shape, axis) in [SHAPES[1], SHAPES[3]] {
            let config = Config::pytorch()
                .with_axis(axis)
                .with_activation(activation);
            let mut case = Case::new(shape, config, Kind::ALL[0], 55).with_residual(56);
            let residual = case.residual.as_mut().unwrap();
            for (i, far) in [1e14, -1e14, 1e25, -1e25, 3e38, -3e38]
                .into_iter()
                .enumerate()
            {
                residual[7 * i] = far;
            }
            for implementation in &implementations {
                let report = judge(&case, &implementation.run(&case));
                let what = implementation.name();
                assert!(
                    report.passed(),
                    "{what} {activation:?}: {:?}",
                    report.worst()
                );
            }
        }
    }
}
