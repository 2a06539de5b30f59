//! Weights and masks.

use wgpu_batchnorm::internals::plan::Tuning;
use wgpu_batchnorm::{Config, Element, Outside};

use testkit::case::Case;
use testkit::data::{Kind, Random};
use testkit::gpu::{GpuEngine, gpu, narrow};
use testkit::outcome::{Engine, judge};

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

fn engines() -> Vec<GpuEngine> {
    let mut engines = GpuEngine::all(&gpu());
    engines.push(GpuEngine::new(
        &narrow(1 << 15),
        "in pieces",
        Tuning::CPU_ADAPTER,
    ));
    engines
}

#[test]
fn weights_of_one_give_the_bits_of_no_weights() {
    for engine in engines() {
        for (k, (shape, axis, weights)) in shapes().into_iter().enumerate() {
            let element = [Element::F32, Element::F16, Element::Bf16][k % 3];
            for element in [Element::F32, element] {
                let config = Config::pytorch().with_axis(axis).with_element(element);
                let case = Case::new(&shape, config, Kind::ALL[0], 17);
                let ones = vec![1.0; weights.iter().product()];
                let plain = engine.run(&case);
                for outside in [Outside::Normalize, Outside::Zero] {
                    let weighted = case.clone().with_weights(&weights, ones.clone(), outside);
                    let what = format!("{}: {} {weights:?}", engine.name(), case.name);
                    let got = engine.run(&weighted);
                    for ((name, a), (_, b)) in plain.bits().iter().zip(&got.bits()) {
                        let n = a.iter().zip(b).filter(|(a, b)| a != b).count();
                        if n > 0 {
                            let k = a.iter().zip(b).position(|(a, b)| a != b).unwrap();
                            eprintln!(
                                "{what:.60} {weights:?} {outside:?}: {name} {n} of {}, {} {}",
                                a.len(),
                                f32::from_bits(a[k]),
                                f32::from_bits(b[k])
                            );
                        }
                    }
                    let _ = (&plain, &what);
                }
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
    kind: &str,
    outside: Outside,
    seed: u64,
) -> Case {
    let config = Config::keras().with_axis(*axis);
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

#[test]
fn weighted_results_are_right() {
    for engine in engines() {
        for (seed, shape) in shapes().into_iter().enumerate() {
            for kind in ["fractional", "mask", "few", "one", "none"] {
                for outside in [Outside::Normalize, Outside::Zero] {
                    let case = case(&shape, kind, outside, seed as u64);
                    let report = judge(&case, &engine.run(&case));
                    let what = format!("{}: {shape:?} {kind} {outside:?}", engine.name());
                    assert!(report.passed(), "{what}: {:?}", report.worst());
                }
            }
        }
    }
}
