//! The closed list is what plans reach: every variant that a tensor without strides meets runs here,
//! on cases of some hundred values a lane, before the judge. `strided` and `textures` have the rest.

use std::collections::BTreeSet;

use wgpu_batchnorm::internals::plan::Tuning;
use wgpu_batchnorm::internals::shaders::{Storage, Variant, Walk};
use wgpu_batchnorm::{Config, Element, Outside};

use crate::shards::judged;
use testkit::case::Case;
use testkit::cuts::SMALL_SHARES;
use testkit::data::Kind;
use testkit::dawn;
use testkit::gpu::{GpuEngine, context, gpu};
use testkit::outcome::{Engine, judge};
use testkit::parts::Merge;

/// The case, and the same with a weight for each sample, some of which are padding.
fn with_weights(case: Case, weighted: bool) -> Vec<Case> {
    let mut shape = vec![1; case.shape.len()];
    shape[0] = case.shape[0];
    let weights = (0..shape[0]).map(|k| [1.5, 0.0, 0.25][k % 3]).collect();
    let with = weighted.then(|| case.clone().with_weights(&shape, weights, Outside::Zero));
    std::iter::once(case).chain(with).collect()
}

#[test]
fn every_variant_that_walks_no_strides_runs_and_is_right() {
    let gpu = gpu();
    // Single values, fours of a run, and fours of channels, so many of them a lane.
    let planar = [(vec![11, 3, 15, 21], 1, 1), (vec![11, 3, 16, 80], 1, 1)];
    let interleaved = [1, 2, 4].map(|columns| (vec![11, 100, 16 * columns], -1, columns));
    let cases = planar.into_iter().chain(interleaved);
    let both = cases.flat_map(|case| [true, false].map(|read_only| (case.clone(), read_only)));
    for ((shape, axis, columns), read_only) in both {
        // One dispatch does all of it, and parts are done in two.
        let tuning = Tuning {
            planar_workgroup: 8,
            planar_team: 4,
            interleaved_workgroup: 8,
            interleaved_columns: 4,
            lane_columns: columns as u32,
            fill: 1,
            resident_bytes: 1 << 22,
            workgroup_bytes: None,
            cache_bytes: 0,
            piece_bytes: u64::MAX,
            read_only,
        };
        let context = context(&gpu, tuning);
        let implementation = GpuEngine::new(&gpu, "variants", tuning);
        // Software adapters compile the wide ones for seconds: constants that change no text, such
        // as activations, are other tests'.
        for element in [Element::F32, Element::F16, Element::Bf16] {
            let config = Config::pytorch().with_axis(axis).with_element(element);
            let case = Case::new(&shape, config, Kind::ALL[0], 71);
            for case in with_weights(case, !read_only && element != Element::Bf16) {
                let parts = judged(&gpu, &context, &case, Merge::Device);
                assert!(parts.passed(), "{}: {:?}", case.name, parts.worst());
                let whole = judge(&case, &implementation.run(&case));
                assert!(whole.passed(), "{}: {:?}", case.name, whole.worst());
            }
        }
    }
    // Channels that are split into many parts, which one dispatch folds.
    let (name, tuning) = SMALL_SHARES;
    let folding = GpuEngine::new(&gpu, name, tuning);
    for (shape, axis) in [(vec![11, 3, 45, 21], 1), (vec![3001, 16], -1)] {
        let config = Config::pytorch().with_axis(axis);
        for case in with_weights(Case::new(&shape, config, Kind::ALL[0], 71), true) {
            let whole = judge(&case, &folding.run(&case));
            assert!(whole.passed(), "{}: {:?}", case.name, whole.worst());
        }
    }
    // Channels that registers hold.
    let holding = [true, false].map(|read_only| {
        let tuning = Tuning {
            read_only,
            ..Tuning::DISCRETE
        };
        GpuEngine::new(&gpu, "held", tuning)
    });
    for (shape, axis) in [
        (vec![11, 3, 45], 1),
        (vec![11, 3, 44], 1),
        (vec![101, 16], -1),
    ] {
        for element in [Element::F32, Element::F16, Element::Bf16] {
            let config = Config::pytorch().with_axis(axis).with_element(element);
            let case = Case::new(&shape, config, Kind::ALL[0], 71);
            let cases = with_weights(case, element != Element::Bf16);
            for (case, holding) in cases
                .iter()
                .flat_map(|case| holding.iter().map(move |h| (case, h)))
            {
                let whole = judge(case, &holding.run(case));
                assert!(whole.passed(), "{}: {:?}", case.name, whole.worst());
            }
        }
    }
    let all = Variant::all().into_iter();
    let proved = gpu.context().f16_proved();
    let dense = |v: &Variant| {
        v.walk == Walk::Dense
            && match v.storage {
                Storage::Single | Storage::Half => true,
                // Of a device that has f16 right.
                Storage::F16 => proved,
                Storage::Texture(_) | Storage::TextureIn | Storage::TextureOut(_) => false,
            }
    };
    let all: BTreeSet<String> = all.filter(dense).map(|v| v.label()).collect();
    assert_eq!(dawn::ran(), all);
}
