//! Tensors larger than one storage binding: several bindings, one result.

use wgpu_batchnorm::internals::plan::Tuning;
use wgpu_batchnorm::{Activation, Config, Element};

use testkit::case::Case;
use testkit::data::Kind;
use testkit::gpu::{GpuEngine, narrow};
use testkit::outcome::{Engine, judge};

#[test]
fn several_bindings_give_one_result() {
    let gpu = narrow(8192);
    let planar = Config::pytorch();
    let interleaved = planar.with_axis(-1);
    for (name, shape, config) in [
        ("along the outer axis", &[9, 5, 7, 11][..], planar),
        ("between channels", &[3, 7, 29, 31], planar),
        ("inside a run", &[2, 3, 61, 67], planar),
        ("one channel", &[1, 1, 10_007], planar),
        ("rows", &[2, 17, 19, 11], interleaved),
        ("rows of pairs", &[9001, 2], planar),
    ] {
        for tuning in [Tuning::CPU_ADAPTER, Tuning::DISCRETE] {
            let implementation = GpuEngine::new(&gpu, name, tuning);
            for (seed, kind) in Kind::ALL.into_iter().enumerate() {
                let case = Case::new(shape, config, kind, seed as u64 + 1);
                let plan = gpu.context().plan(&case.config, shape).unwrap();
                assert!(plan.schedule().pieces.len() > 1, "{name}");
                let report = judge(&case, &implementation.run(&case));
                assert!(
                    report.passed(),
                    "{name}, {}: {:?}",
                    case.name,
                    report.worst()
                );
            }
        }
    }
}

#[test]
fn halves_and_epilogues_in_several_bindings() {
    let gpu = narrow(8192);
    let relu = Config::pytorch().with_activation(Activation::Relu);
    for (name, shape, config) in [
        ("along the outer axis", &[9, 5, 7, 31][..], relu),
        ("between channels", &[3, 11, 29, 31], relu),
        // Pieces of one run share a word.
        ("inside a run", &[2, 3, 97, 67], relu),
        ("one channel", &[1, 1, 10_007], relu),
        ("rows", &[2, 17, 19, 11], relu.with_axis(-1)),
        ("rows of fours", &[2, 17, 19, 12], relu.with_axis(-1)),
    ] {
        for element in [Element::F16, Element::Bf16] {
            for tuning in [Tuning::CPU_ADAPTER, Tuning::DISCRETE] {
                let implementation = GpuEngine::new(&gpu, name, tuning);
                let config = config.with_element(element);
                let case = Case::new(shape, config, Kind::ALL[0], 81).with_residual(82);
                let plan = gpu.context().plan(&case.config, shape).unwrap();
                assert!(plan.schedule().pieces.len() > 1, "{name}");
                let report = judge(&case, &implementation.run(&case));
                assert!(report.passed(), "{name}, {element:?}: {:?}", report.worst());
            }
        }
    }
}
