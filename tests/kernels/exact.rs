//! Data on which every step is exact in f32: what comes out equals the reference, tolerance zero.
//! An index off by one, a term left out or counted twice shows here, whatever the bounds of the
//! accuracy table allow.

use wgpu_batchnorm::check::{self, Report, TrainResult};
use wgpu_batchnorm::{Affine, Config, Momentum, RunningStatistics, RunningVariance, reference};

use testkit::case::{Case, shapes};
use testkit::data::{Kind, Random};
use testkit::gpu::{GpuEngine, gpu, narrow};
use testkit::outcome::{Cpu, Engine, Outcome};

/// An integer from -`reach` to `reach`.
fn integer(random: &mut Random, reach: u64) -> f32 {
    (random.bits() >> 32).wrapping_rem(2 * reach + 1) as f32 - reach as f32
}

/// A case with `value(channel, position)` as x, integers as dy, signed powers of two as weights,
/// integers as biases, and running variances that make powers of four with eps.
fn case(shape: &[usize], config: Config, value: impl Fn(usize, usize) -> f32) -> Case {
    let mut case = Case::new(shape, config, Kind::Constant, 1);
    let (view, mut random) = (case.view, Random::new(9));
    for c in 0..view.channels() {
        for (position, i) in view.runs(c).flatten().enumerate() {
            case.x[i] = value(c, position);
        }
    }
    case.dy.fill_with(|| integer(&mut random, 4));
    let channels = || 0..view.channels();
    let weights = channels().map(|c| [0.5, -1.0, 2.0, -4.0, 1.0][c % 5]);
    case.weight = case.weight.map(|_| weights.collect());
    let biases = channels().map(|_| integer(&mut random, 3));
    case.bias = case.bias.map(|_| biases.collect());
    let powers = channels().map(|c| [1.0, 4.0, 16.0][c % 3]);
    case.running = case.running.map(|_| {
        let mean = channels().map(|c| (c % 7) as f32 - 3.0).collect();
        let variance = powers.map(|power| power - config.eps).collect();
        // The next batch is the first, second, fourth or eighth.
        let batches = channels().map(|c| (1 << (c % 4)) - 1).collect();
        RunningStatistics::from_parts(mean, variance, batches).unwrap()
    });
    case
}

fn assert_exact(implementation: &dyn Engine, case: &Case, report: &Report) {
    for finding in &report.findings {
        let exact = finding.error == 0.0;
        assert!(exact, "{}: {}: {finding}", implementation.name(), case.name);
    }
}

fn forward(case: &Case, outcome: &Outcome) -> Report {
    let running = outcome.running.as_ref().map(|after| {
        let before = case.running.as_ref().unwrap();
        (before, after, case.config.running.unwrap())
    });
    let result = TrainResult::new(&outcome.y, &outcome.saved).with_running(running);
    check::train_forward(&case.input(), &result).unwrap()
}

fn backward(case: &Case, outcome: &Outcome) -> Report {
    check::backward(&case.input(), &case.dy, &outcome.gradients, None).unwrap()
}

fn frozen(case: &Case, outcome: &Outcome) -> Report {
    let (input, running) = (case.input(), case.running.as_ref().unwrap());
    let (mean, variance) = (&running.mean, &running.variance);
    let frozen = outcome.frozen.as_ref().unwrap();
    let mut report = check::inference(&input, mean, variance, &frozen.y).unwrap();
    let gradients = &frozen.gradients;
    let backward =
        check::backward_frozen(&input, &case.dy, mean, variance, gradients, None).unwrap();
    report.findings.extend(backward.findings);
    report
}

fn implementations() -> Vec<Box<dyn Engine>> {
    let gpu = GpuEngine::all(&gpu()).into_iter();
    let gpu = gpu.map(|i| Box::new(i) as Box<dyn Engine>);
    gpu.chain([Box::new(Cpu) as _]).collect()
}

/// The GPU where it binds tensors in pieces; their statistics it binds whole.
fn in_pieces() -> Vec<Box<dyn Engine>> {
    let implementations = GpuEngine::all(&narrow(1 << 13)).into_iter();
    let implementations = implementations.take(2);
    implementations.map(|i| Box::new(i) as _).collect()
}

fn fits_in_pieces((shape, axis): &(Vec<usize>, isize)) -> bool {
    channels(shape, *axis) < 400
}

/// eps so small and so round that a power of four less eps is an f32.
fn round_eps() -> Config {
    Config::onnx()
        .with_eps(1.0 / 65_536.0)
        .with_momentum(Momentum::new(0.25))
}

#[test]
fn inference_and_its_backward_on_integers() {
    assert_integers_are_exact(shapes(), &implementations());
}

#[test]
fn inference_and_its_backward_on_integers_in_pieces() {
    let shapes = shapes().into_iter().filter(fits_in_pieces).collect();
    assert_integers_are_exact(shapes, &in_pieces());
}

fn assert_integers_are_exact(
    shapes: Vec<(Vec<usize>, isize)>,
    implementations: &[Box<dyn Engine>],
) {
    for (shape, axis) in shapes {
        for affine in [Affine::Both, Affine::Weight, Affine::Bias, Affine::None] {
            let config = round_eps().with_axis(axis).with_affine(affine);
            // Values of their own as far as the sums of their products stay below 2^24.
            let count = shape.iter().product::<usize>() / channels(&shape, axis);
            let reach = ((1 << 21) / count).clamp(8, 4000);
            let value = |c: usize, k: usize| ((k * 37 + c * 11) % reach) as f32;
            let case = case(&shape, config, value);
            for implementation in implementations {
                let report = frozen(&case, &implementation.run(&case));
                assert_exact(&**implementation, &case, &report);
            }
            if case.x.len() > 20_000 {
                // Once is enough.
                break;
            }
        }
    }
}

fn channels(shape: &[usize], axis: isize) -> usize {
    shape[axis.rem_euclid(shape.len() as isize) as usize]
}

#[test]
fn constant_channels() {
    assert_constants_are_exact(shapes(), &implementations());
}

#[test]
fn constant_channels_in_pieces() {
    let shapes = shapes().into_iter().filter(fits_in_pieces).collect();
    assert_constants_are_exact(shapes, &in_pieces());
}

fn assert_constants_are_exact(
    shapes: Vec<(Vec<usize>, isize)>,
    implementations: &[Box<dyn Engine>],
) {
    for (shape, axis) in shapes {
        let value = |c: usize, _| [1234.0, -7.0, 0.0, 3.0e6][c % 4] + c as f32;
        let case = case(&shape, round_eps().with_axis(axis), value);
        for implementation in implementations {
            let outcome = implementation.run(&case);
            assert_exact(&**implementation, &case, &forward(&case, &outcome));
            for c in 0..case.view.channels() {
                let bias = case.parameters().bias(c);
                let mut y = case.view.runs(c).flatten().map(|i| outcome.y[i]);
                assert!(y.all(|y| y == bias));
                assert_eq!(outcome.saved.batch_var[c], 0.0);
            }
        }
    }
}

#[test]
fn sums_of_integers() {
    // Σdy on every shape; Σdy·x̂ where x̂ is zero.
    let implementations = implementations();
    for (shape, axis) in shapes() {
        let case = case(&shape, round_eps().with_axis(axis), |c, _| c as f32);
        let mut expected = vec![0i64; case.view.channels()];
        for (i, &dy) in case.dy.iter().enumerate() {
            expected[case.view.channel_of(i)] += dy as i64;
        }
        for implementation in &implementations {
            let gradients = implementation.run(&case).gradients;
            let dbias = gradients.dbias.iter().map(|&sum| sum as i64);
            assert!(dbias.eq(expected.iter().copied()), "{}", case.name);
            assert!(gradients.dweight.iter().all(|&sum| sum == 0.0));
        }
    }
}

/// Shapes with counts that are powers of two; interleaved, with as many channels.
fn round_shapes() -> Vec<(Vec<usize>, isize)> {
    [
        (&[1, 5, 2][..], 1),
        (&[2, 5, 1, 8], 1),
        (&[4, 3, 64], 1),
        (&[8, 7, 4, 8], 1),
        (&[1, 3, 1024], 1),
        (&[1, 1, 512], 1),
        (&[2, 16], 1),
        (&[64, 4], -1),
        (&[16, 16, 8], -1),
        (&[256, 64], 1),
        (&[1024, 2], 1),
    ]
    .into_iter()
    .map(|(shape, axis)| (shape.to_vec(), axis))
    .collect()
}

/// μ ± d in turn, where d² + 0.9375 is 4 or 1.
fn two_values(c: usize, position: usize) -> f32 {
    let mean = [0.0, -3.0, 10_000.0, 17.0][c % 4];
    let d = [1.75, 0.25][c % 2];
    if position.is_multiple_of(2) {
        mean + d
    } else {
        mean - d
    }
}

#[test]
fn training_and_backward_on_two_values() {
    let implementations = implementations();
    let base = Config::onnx().with_eps(0.9375);
    for (shape, axis) in round_shapes() {
        let biased = base.with_axis(axis);
        let mut configs = vec![
            biased.with_momentum(Momentum::new(0.25)),
            biased.with_momentum(Momentum::new(1.0)),
            biased.with_momentum(Momentum::Cumulative),
            biased.without_running(),
        ];
        if shape.iter().product::<usize>() == 2 * channels(&shape, axis) {
            // m/(m-1) is exact.
            configs.push(configs[0].with_running_variance(RunningVariance::Unbiased));
        }
        for config in configs {
            let case = case(&shape, config, two_values);
            let batch = reference::moments(&case.view, &case.x).unwrap();
            assert!(
                batch
                    .inv_std(0.9375)
                    .iter()
                    .all(|inv_std| [0.5, 1.0].contains(inv_std))
            );
            for implementation in &implementations {
                let outcome = implementation.run(&case);
                assert_exact(&**implementation, &case, &forward(&case, &outcome));
                assert_exact(&**implementation, &case, &backward(&case, &outcome));
            }
        }
    }
}

#[test]
fn moments_of_integers_in_any_order() {
    let implementations = implementations();
    for (shape, axis) in round_shapes() {
        // Squares of means with six binary places still fit.
        if shape.iter().product::<usize>() > 64 * channels(&shape, axis) {
            continue;
        }
        let config = round_eps().with_axis(axis).without_running();
        let mut case = case(&shape, config, |_, _| 0.0);
        let mut random = Random::new(77);
        case.x.fill_with(|| integer(&mut random, 9));
        let exact = reference::moments(&case.view, &case.x).unwrap();
        let round = |values: &[f64]| values.iter().map(|&v| v as f32).collect::<Vec<_>>();
        for implementation in &implementations {
            let saved = implementation.run(&case).saved;
            let name = implementation.name();
            assert_eq!(
                saved.batch_mean,
                round(&exact.mean),
                "{name}: {}",
                case.name
            );
            assert_eq!(
                saved.batch_var,
                round(&exact.variance),
                "{name}: {}",
                case.name
            );
        }
    }
}
