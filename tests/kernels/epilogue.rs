//! y = g(BN(x) + residual), forward and back, in every memory pattern and every storage.

use wgpu_batchnorm::plan::Tuning;
use wgpu_batchnorm::{Activation, Config, Element};

use crate::common::case::Case;
use crate::common::data::Kind;
use crate::common::gpu::{GpuImplementation, gpu};
use crate::common::outcome::{Implementation, judge};

const ACTIVATIONS: [Activation; 7] = [
    Activation::None,
    Activation::Relu,
    Activation::LeakyRelu(0.1),
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Silu,
    Activation::Gelu,
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

fn implementations() -> Vec<GpuImplementation> {
    let gpu = gpu();
    let tunings = [
        ("cpu adapter", Tuning::CPU_ADAPTER),
        ("gpu", Tuning::DISCRETE),
    ];
    tunings
        .map(|(name, tuning)| GpuImplementation::new(&gpu, name, tuning))
        .into()
}

fn assert_within(cases: impl Iterator<Item = Case>) {
    let implementations = implementations();
    let mut failures = Vec::new();
    for case in cases {
        for implementation in &implementations {
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
        [Activation::Relu, Activation::Gelu, Activation::Tanh].map(|activation| {
            let config = Config::pytorch().with_activation(activation);
            Case::new(&[4, 9, 19, 23], config, kind, 43).with_residual(44)
        })
    });
    assert_within(cases);
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
