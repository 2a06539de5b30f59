//! Weights and masks.

use wgpu_batchnorm::error::BindError;
use wgpu_batchnorm::functional::{self, AffineStep};
use wgpu_batchnorm::internals::plan::Tuning;
use wgpu_batchnorm::internals::shaders::{Role, Variant};
use wgpu_batchnorm::{
    Activation, Config, Element, MomentsRows, Outside, Tensor, WeightsBuffer, checked,
};

use crate::buffers::{Buffers, Place};
use crate::shards::judged;
use testkit::case::Case;
use testkit::cuts::SMALL_SHARES;
use testkit::data::{Kind, Random};
use testkit::gpu::{GpuEngine, context, gpu, narrow};
use testkit::outcome::{Engine, judge};
use testkit::parts::Merge;

/// Shapes of every kind of load and plan, and of weights: all that vary, along the batch, along runs, and along a part of a
/// run.
fn shapes() -> Vec<(Vec<usize>, isize, Vec<usize>)> {
    let shapes: [(&[usize], isize, &[usize]); 12] = [
        (&[4, 6, 7, 7], 1, &[4, 1, 7, 7]),
        (&[4, 6, 7, 7], 1, &[4, 1, 1, 1]),
        (&[4, 6, 8, 8], 1, &[1, 1, 8, 8]),
        (&[4, 6, 8, 8], 1, &[4, 1, 8, 1]),
        (&[4, 6, 6, 6], 1, &[6, 1]),
        (&[4, 6, 6, 6], 1, &[6]),
        (&[2, 3, 40, 41], 1, &[2, 1, 40, 41]),
        (&[2, 3, 40, 44], 1, &[2, 1, 40, 44]),
        (&[300, 5], 1, &[300, 1]),
        (&[300, 8], 1, &[300, 1]),
        (&[9, 11, 31, 16], -1, &[9, 1, 31, 1]),
        (&[9, 300, 64], -1, &[9, 300, 1]),
    ];
    let owned = |(x, axis, w): (&[usize], isize, &[usize])| (x.to_vec(), axis, w.to_vec());
    shapes.into_iter().map(owned).collect()
}

/// What cuts the work differently: few large parts, a GPU's sizes, many small parts, several bindings.
fn engines() -> Vec<GpuEngine> {
    let gpu = gpu();
    let (name, small) = SMALL_SHARES;
    vec![
        GpuEngine::new(&gpu, "cpu adapter", Tuning::CPU_ADAPTER),
        GpuEngine::new(&gpu, "gpu", Tuning::DISCRETE),
        GpuEngine::new(&gpu, name, small),
        GpuEngine::new(&narrow(1 << 15), "in pieces", Tuning::CPU_ADAPTER),
    ]
}

/// The shapes that are tried on engine `e`: all on the first two, and on the others those that these cut in several.
fn shapes_on(e: usize) -> Vec<(Vec<usize>, isize, Vec<usize>)> {
    let all = shapes();
    match e {
        0 | 1 => all,
        _ => [6, 7, 10, 11].map(|k| all[k].clone()).into(),
    }
}

/// Each shape has a turn with each engine; f32 always, and halves in turn.
fn elements(turn: usize) -> Vec<Element> {
    match turn % 4 {
        0 => vec![Element::F32, Element::F16],
        2 => vec![Element::F32, Element::Bf16],
        _ => vec![Element::F32],
    }
}

#[test]
fn weights_of_one_give_the_bits_of_no_weights() {
    for (e, engine) in engines().iter().enumerate() {
        for (k, (shape, axis, weights)) in shapes_on(e).into_iter().enumerate() {
            for element in elements(k + e) {
                let config = Config::pytorch().with_axis(axis).with_element(element);
                let case = Case::new(&shape, config, Kind::ALL[0], 17);
                let ones = vec![1.0; weights.iter().product()];
                let outside = [Outside::Normalize, Outside::Zero][(k + e) % 2];
                let weighted = case.clone().with_weights(&weights, ones, outside);
                let what = format!("{}: {} {weights:?}", engine.name(), case.name);
                let plain = engine.run(&case);
                plain.assert_same_bits(&engine.run(&weighted), &what);
            }
        }
    }
}

/// Some weights: what is at the front, and where unweighted pivots are sampled, has none.
fn values(len: usize, kind: &str) -> Vec<f32> {
    let mut random = Random::new(5);
    let mut draw = |k: usize| match kind {
        "fractional" => (0.1 + 3.0 * random.uniform()) as f32,
        "mask" => f32::from(random.uniform() < 0.7),
        "few" => f32::from(k % 33 == 32),
        "one" => f32::from(k == len - 1),
        "none" => 0.0,
        _ => unreachable!(),
    };
    (0..len).map(&mut draw).collect()
}

/// A case whose values outside of the weights are not finite where they are not looked at.
fn case(
    (shape, axis, weights): &(Vec<usize>, isize, Vec<usize>),
    config: Config,
    kind: &str,
    outside: Outside,
    seed: u64,
) -> Case {
    let config = config.with_axis(*axis);
    let data = Kind::ALL[seed as usize % 2];
    let len = weights.iter().product();
    let mut case =
        Case::new(shape, config, data, seed).with_weights(weights, values(len, kind), outside);
    let spread = case.weights.as_ref().unwrap().spread(shape);
    for (i, weight) in spread.into_iter().enumerate() {
        if weight == 0.0 && outside == Outside::Zero {
            (case.x[i], case.dy[i]) = (f32::NAN, f32::INFINITY);
        }
    }
    case
}

const KINDS: [&str; 5] = ["fractional", "mask", "few", "one", "none"];
const BOTH: [Outside; 2] = [Outside::Normalize, Outside::Zero];

#[test]
fn weighted_results_are_right() {
    for (e, engine) in engines().into_iter().enumerate() {
        for (seed, shape) in shapes_on(e).into_iter().enumerate() {
            for (kind, outside) in KINDS.into_iter().flat_map(|kind| BOTH.map(|o| (kind, o))) {
                let case = case(&shape, Config::keras(), kind, outside, seed as u64);
                let report = judge(&case, &engine.run(&case));
                let what = format!("{}: {shape:?} {kind} {outside:?}", engine.name());
                assert!(report.passed(), "{what}: {:?}", report.worst());
            }
        }
    }
}

#[test]
fn weighted_halves_activations_and_residuals_are_right() {
    let engines = engines();
    for (seed, shape) in shapes().into_iter().enumerate() {
        let engine = &engines[seed % 2];
        let element = [Element::F16, Element::F32, Element::Bf16][seed % 3];
        let activation = [Activation::Relu, Activation::None, Activation::Silu][seed % 3];
        let config = Config::pytorch()
            .with_element(element)
            .with_activation(activation);
        for outside in BOTH {
            let mut case = case(&shape, config, "mask", outside, 2 * seed as u64);
            // What has no bindings left for a residual is refused.
            if activation == Activation::None || element == Element::F32 {
                case = case.with_residual(seed as u64);
            }
            let report = judge(&case, &engine.run(&case));
            let what = format!("{}: {shape:?} {element:?} {outside:?}", engine.name());
            assert!(report.passed(), "{what}: {:?}", report.worst());
        }
    }
}

#[test]
fn parts_of_a_weighted_batch_are_the_batch() {
    let gpu = gpu();
    for (tuning, merge) in [
        (Tuning::CPU_ADAPTER, Merge::Device),
        (Tuning::DISCRETE, Merge::Host),
    ] {
        let context = context(&gpu, tuning);
        // The first samples have no weight in one of them.
        for (k, weights) in [vec![11, 1, 5], vec![11, 1, 1]].into_iter().enumerate() {
            for outside in BOTH {
                let shape = (vec![11, 6, 5], 1, weights.clone());
                let mut case = case(&shape, Config::pytorch(), "fractional", outside, k as u64);
                case.weights.as_mut().unwrap().values[..3].fill(0.0);
                let report = judged(&gpu, &context, &case, merge);
                assert!(
                    report.passed(),
                    "{weights:?} {outside:?}: {:?}",
                    report.worst()
                );
            }
        }
    }
}

#[test]
fn moments_by_weights_over_any_axes() {
    let gpu = gpu();
    let shape = [5, 6, 20, 7];
    let len = shape.iter().product();
    for (axes, weights_shape) in [
        (&[1, 3][..], &[6, 1, 7][..]),
        (&[1, 3], &[1, 1, 7]),
        (&[0, 2, 3], &[5, 1, 20, 7]),
        (&[0, 1, 2], &[5, 1, 20, 1]),
        (&[0, 1, 2, 3], &shape),
    ] {
        for kind in ["fractional", "few", "none"] {
            let x = Random::new(1).normals(len, 1e4, 1.0);
            let weights = values(weights_shape.iter().product(), kind);
            let tensor = Tensor::upload(&gpu, &shape, &x).unwrap();
            let on_device = Tensor::upload(&gpu, weights_shape, &weights).unwrap();
            let (moments, report) =
                checked::weighted_moments_blocking(&tensor, &on_device, axes, false).unwrap();
            assert!(report.passed(), "{axes:?} {kind}: {:?}", report.worst());
            // Normalized by them, values of weight have mean 0 and variance 1.
            if kind == "fractional" && axes.len() == 4 {
                let step = AffineStep::default();
                let y = functional::normalize(&tensor, &moments, step, 0.0).unwrap();
                let y = y.read_blocking().unwrap();
                let sum = |f: &dyn Fn(f64) -> f64| -> f64 {
                    let pairs = y.iter().zip(&weights);
                    pairs.map(|(&y, &w)| f64::from(w) * f(f64::from(y))).sum()
                };
                let total = sum(&|_| 1.0);
                assert!((sum(&|y| y) / total).abs() < 1e-6);
                assert!((sum(&|y| y * y) / total - 1.0).abs() < 1e-5);
            }
        }
    }
    let x = Tensor::upload(&gpu, &shape, &vec![0.0; len]).unwrap();
    let kept = Tensor::upload(&gpu, &[6, 20, 1], &[1.0; 120]).unwrap();
    assert!(functional::weighted_moments(&x, &kept, &[1, 3], false).is_err());
}

/// A weight that is none spoils every channel, and no running statistic moves.
#[test]
fn what_is_no_weight_makes_all_nan() {
    for engine in &engines()[..2] {
        for shape in shapes().into_iter().skip(6).step_by(2) {
            for (bad, outside) in [-1.0, f32::NAN, f32::INFINITY]
                .into_iter()
                .zip(BOTH.into_iter().cycle())
            {
                let mut case = case(&shape, Config::pytorch(), "mask", outside, 4);
                let values = &mut case.weights.as_mut().unwrap().values;
                let k = values.len() / 2;
                values[k] = bad;
                let outcome = engine.run(&case);
                let report = judge(&case, &outcome);
                let what = format!("{}: {shape:?} {bad} {outside:?}", engine.name());
                assert!(report.passed(), "{what}: {:?}", report.worst());
                assert!(
                    outcome.saved.batch_mean.iter().all(|mean| mean.is_nan()),
                    "{what}"
                );
                assert_eq!(outcome.running, case.running, "{what}");
            }
        }
    }
}

/// With an unbiased running variance a batch of weight up to 1 does not count.
#[test]
fn too_little_weight_moves_nothing() {
    for engine in &engines()[..2] {
        for (sum, moves) in [(0.0, false), (0.5, false), (1.0, false), (1.5, true)] {
            let mut case = Case::new(&[4, 3, 5], Config::pytorch(), Kind::ALL[0], 3);
            let mut weights = vec![0.0; 20];
            (weights[7], weights[11]) = (sum / 2.0, sum / 2.0);
            case = case.with_weights(&[4, 1, 5], weights, Outside::Normalize);
            let outcome = engine.run(&case);
            assert_eq!(outcome.running != case.running, moves, "{sum}");
            let report = judge(&case, &outcome);
            assert!(report.passed(), "{sum}: {:?}", report.worst());
        }
    }
}

#[test]
fn weights_that_cannot_be_bound_are_refused() {
    let gpu = gpu();
    let config = Config::pytorch().with_activation(Activation::Relu);
    let case = Case::new(&[4, 3, 5], config, Kind::ALL[0], 3);
    let plan = gpu.context().plan(&config, &case.shape).unwrap();
    let b = Buffers::apart(&gpu, &plan, &case);
    let ones = Place::new(&gpu, &[1.0; 60]);
    let weights = |shape, outside| WeightsBuffer::new(ones.slice(), shape, outside);
    let train = |shape| b.train().with_weights(weights(shape, Outside::Zero));
    let said = |shape| plan.bind_train(&train(shape)).map(drop);
    assert!(said(&[4, 1, 5]).is_ok() && said(&[]).is_ok());
    for shape in [&[4, 3, 5][..], &[4, 1, 6], &[5, 1, 5], &[1, 4, 1, 5]] {
        let refused = said(shape);
        assert!(
            matches!(refused, Err(BindError::Shape(_))),
            "{shape:?}: {refused:?}"
        );
    }
    let short = Place::new(&gpu, &[1.0; 19]);
    let weights = WeightsBuffer::new(short.slice(), &[4, 1, 5], Outside::Zero);
    let refused = plan.bind_train(&b.train().with_weights(weights)).map(drop);
    let (got, expected) = (76, 80);
    assert_eq!(
        refused,
        Err(BindError::Size {
            buffer: "weights",
            got,
            expected
        })
    );
    // Sums of weights have fractions, and counts of values have none.
    let moments = MomentsRows::new(b.moments[0].slice(), 2.5);
    let part = b.train().with_moments(moments);
    assert!(plan.bind_train(&part).is_err());
    let weights = WeightsBuffer::new(ones.slice(), &[4, 1, 5], Outside::Zero);
    assert!(plan.bind_train(&part.with_weights(weights)).is_ok());
    // Backward through frozen statistics binds too much for a residual and weights.
    let residual = Place::new(&gpu, &[0.0; 60]);
    let frozen = b.backward_frozen().with_residual(residual.slice());
    assert!(plan.bind_backward(&frozen).is_ok());
    let refused = plan.bind_backward(&frozen.with_weights(weights)).map(drop);
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("frozen statistics"), "{said}");
}

/// No variant binds more storage buffers than WebGPU grants every device, with weights or without.
#[test]
fn weighted_variants_leave_out_a_residual_where_they_must() {
    let variants = Variant::all().into_iter().filter(|v| v.weighted);
    let mut without = Vec::new();
    for variant in variants {
        let roles = variant.roles();
        let storage = roles
            .iter()
            .filter(|role| !matches!(role, Role::Axes | Role::WeightAxes));
        assert!(storage.count() <= 8, "{}", variant.label());
        let plain = Variant {
            weighted: false,
            ..variant
        };
        if plain.roles().contains(&Role::Residual) && !roles.contains(&Role::Residual) {
            without.push(variant.kernel.name());
        }
    }
    without.sort_unstable();
    without.dedup();
    let known = [
        "backward_frozen",
        "backward_held",
        "backward_resident",
        "flat_dx",
    ];
    assert_eq!(without, known);
}
