//! The special cases, as far as they concern the kernels.

use wgpu_batchnorm::check::{POISON, is_poison};
use wgpu_batchnorm::error::{BindError, ConfigError};
use wgpu_batchnorm::functional;
use wgpu_batchnorm::internals::plan::Tuning;
use wgpu_batchnorm::{
    BackwardBuffers, Config, Gpu, MomentsBuffers, Momentum, NonFinite, Plan, RunningStatistics,
    RunningVariance, StatisticsRows, Tensor, TrainBuffers, reference,
};

use crate::buffers::{Buffers, run};
use testkit::case::Case;
use testkit::data::{Kind, Random};
use testkit::gpu::{GpuEngine, context, gpu, narrow, running_of, saved_of};
use testkit::outcome::{Cpu, Engine, Outcome, judge};

const ORDINARY: Kind = Kind::ALL[0];

fn implementations() -> Vec<Box<dyn Engine>> {
    let (gpu, narrow) = (gpu(), narrow(1 << 15));
    let new = |gpu, name, tuning| Box::new(GpuEngine::new(gpu, name, tuning));
    vec![
        new(&gpu, "cpu adapter", Tuning::CPU_ADAPTER),
        new(&gpu, "gpu", Tuning::DISCRETE),
        new(&narrow, "in pieces", Tuning::CPU_ADAPTER),
        Box::new(Cpu),
    ]
}

/// Both patterns, six channels, each split among workgroups.
fn patterns() -> [(Vec<usize>, Config); 2] {
    let config = Config::pytorch();
    [
        (vec![2, 6, 31, 33], config),
        (vec![62, 33, 6], config.with_axis(-1)),
    ]
}

fn plan(gpu: &Gpu, case: &Case) -> Plan {
    gpu.context().plan(&case.config, &case.shape).unwrap()
}

/// The bits of `values` that do not belong to channel `c`; statistics hold one value a channel.
fn others(case: &Case, values: &[u32], c: usize) -> Vec<u32> {
    let channel_of = |k| match values.len() == case.view.channels() {
        true => k,
        false => case.view.channel_of(k),
    };
    let kept = values
        .iter()
        .enumerate()
        .filter(|&(k, _)| channel_of(k) != c);
    kept.map(|(_, &bits)| bits).collect()
}

/// Every bit of every channel but `c` is as in `clean`.
fn assert_only_channel(case: &Case, c: usize, clean: &Outcome, hit: &Outcome, what: &str) {
    for ((name, clean), (_, hit)) in clean.bits().iter().zip(&hit.bits()) {
        let same = others(case, clean, c) == others(case, hit, c);
        assert!(same, "{what} changed another channel's {name}");
    }
}

/// Channel `c` of a tensor.
fn channel<'a>(case: &Case, values: &'a [f32], c: usize) -> impl Iterator<Item = f32> + 'a {
    case.view.runs(c).flatten().map(|i| values[i])
}

/// The element at `position` of channel `c`.
fn element(case: &Case, c: usize, position: usize) -> usize {
    case.view.runs(c).flatten().nth(position).unwrap()
}

fn assert_dx_is_nan(case: &Case, c: usize, outcome: &Outcome, what: &str) {
    let mut dx = channel(case, &outcome.gradients.dx, c);
    assert!(dx.all(f32::is_nan), "{what}");
}

const C: usize = 2;

/// What makes channel `C` of x not finite, and where.
fn spoilt_inputs(case: &Case) -> Vec<(String, Case)> {
    let last = case.view.count() - 1;
    let mut spoilt = Vec::new();
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for position in [0, last / 2, 997, last] {
            let mut case = case.clone();
            let at = element(&case, C, position);
            case.x[at] = value;
            spoilt.push((format!("x of {value} at {position}"), case));
        }
    }
    // Finite values whose variance is not.
    let mut overflow = case.clone();
    let sign = |k| if k % 2 == 0 { 1.0 } else { -1.0 };
    for (k, i) in case.view.runs(C).flatten().enumerate() {
        overflow.x[i] = sign(k) * 1e25;
    }
    spoilt.push(("a variance of 1e50".to_owned(), overflow.clone()));
    for (k, i) in case.view.runs(C).flatten().enumerate() {
        overflow.x[i] = sign(k) * 3e38;
    }
    spoilt.push(("differences of 6e38".to_owned(), overflow));
    spoilt
}

#[test]
fn an_input_that_is_not_finite_stays_in_its_channel() {
    let implementations = implementations();
    for (shape, config) in patterns() {
        for non_finite in [NonFinite::Skip, NonFinite::Propagate] {
            let case = Case::new(&shape, config.with_non_finite(non_finite), ORDINARY, 31);
            for implementation in &implementations {
                let clean = implementation.run(&case);
                for (what, case) in spoilt_inputs(&case) {
                    let what = format!("{}: {what}", implementation.name());
                    let hit = implementation.run(&case);
                    assert_only_channel(&case, C, &clean, &hit, &what);
                    assert_dx_is_nan(&case, C, &hit, &what);
                    assert!(hit.gradients.dweight[C].is_nan(), "{what}");
                    // Σdy does not look at x.
                    assert_eq!(hit.gradients.dbias, clean.gradients.dbias, "{what}");
                    assert!(channel(&case, &hit.y, C).all(f32::is_nan), "{what}");
                    let saved = [
                        &hit.saved.batch_mean,
                        &hit.saved.batch_var,
                        &hit.saved.inv_std,
                    ];
                    assert!(saved.iter().all(|row| row[C].is_nan()), "{what}");
                    let (before, after) = (case.running.as_ref().unwrap(), hit.running.unwrap());
                    let (mean, variance) = (after.mean[C], after.variance[C]);
                    let counted = after.batches[C] - before.batches[C];
                    match non_finite {
                        NonFinite::Skip => {
                            let kept = (before.mean[C], before.variance[C], 0);
                            assert_eq!((mean, variance, counted), kept, "{what}");
                        }
                        NonFinite::Propagate => {
                            assert!(mean.is_nan() && variance.is_nan(), "{what}");
                            assert_eq!(counted, 1, "{what}");
                        }
                        other => panic!("{other:?} is not tested here"),
                    }
                }
            }
        }
    }
}

#[test]
fn moments_of_a_variance_that_overflows_are_none() {
    // The mean alone would be finite.
    let gpu = gpu();
    let shape = [2, 6, 31, 33];
    let case = Case::new(&shape, Config::pytorch(), ORDINARY, 46);
    let (_, spoilt) = spoilt_inputs(&case).into_iter().nth(12).unwrap();
    assert!(spoilt.x.iter().all(|x| x.is_finite()));
    let x = Tensor::upload(&gpu, &shape, &spoilt.x).unwrap();
    let moments = functional::moments(&x, &[0, 2, 3], false).unwrap();
    for row in moments.rows().read_blocking().unwrap().chunks(6) {
        let lost: Vec<_> = (0..6).filter(|&c| row[c].is_nan()).collect();
        assert_eq!(lost, [C]);
        assert!(row.iter().all(|v| !v.is_infinite()));
    }
}

#[test]
fn inference_of_an_element_that_is_not_finite_is_that_element_alone() {
    let implementations = implementations();
    for (shape, config) in patterns() {
        let case = Case::new(&shape, config, ORDINARY, 32);
        for implementation in &implementations {
            let clean = implementation.run(&case).frozen.unwrap();
            for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                for position in [0, 1, 700, case.view.count() - 1] {
                    let mut case = case.clone();
                    let at = element(&case, C, position);
                    case.x[at] = value;
                    let mut hit = implementation.run(&case).frozen.unwrap();
                    assert_eq!(hit.y[at].is_nan(), value.is_nan());
                    assert!(!hit.y[at].is_finite());
                    hit.y[at] = clean.y[at];
                    assert!(hit.y == clean.y, "{}", implementation.name());
                    // dx and dbias do not look at x; dweight does.
                    let gradients = &mut hit.gradients;
                    assert!(gradients.dweight[C].is_nan());
                    gradients.dweight[C] = clean.gradients.dweight[C];
                    assert!(hit == clean, "{}", implementation.name());
                }
            }
        }
    }
}

#[test]
fn a_gradient_that_is_not_finite_stays_in_its_channel() {
    let implementations = implementations();
    for (shape, config) in patterns() {
        let case = Case::new(&shape, config, ORDINARY, 33);
        let last = case.view.count() - 1;
        for implementation in &implementations {
            let clean = implementation.run(&case);
            let mut spoilt = Vec::new();
            for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                for position in [0, 997, last] {
                    let mut case = case.clone();
                    let at = element(&case, C, position);
                    case.dy[at] = value;
                    spoilt.push((case, Some(at)));
                }
            }
            let mut overflow = case.clone();
            let indices = case.view.runs(C).flatten();
            indices.for_each(|i| overflow.dy[i] = 3e38);
            spoilt.push((overflow, None));
            for (case, at) in spoilt {
                let what = implementation.name();
                let hit = implementation.run(&case);
                assert_only_channel(&case, C, &clean, &hit, &what);
                assert_dx_is_nan(&case, C, &hit, &what);
                assert!(!hit.gradients.dbias[C].is_finite(), "{what}");
                // Forward does not look at dy.
                assert!(hit.y == clean.y && hit.saved == clean.saved);
                assert!(hit.running == clean.running);
                let frozen = hit.frozen.unwrap();
                let expected = clean.frozen.as_ref().unwrap();
                assert!(frozen.y == expected.y);
                assert!(!frozen.gradients.dbias[C].is_finite());
                if let Some(at) = at {
                    // One value that is not finite is the sum.
                    let (dbias, dy) = (frozen.gradients.dbias[C], case.dy[at]);
                    assert!(dbias == dy || dbias.is_nan() && dy.is_nan(), "{what}");
                    assert_eq!(hit.gradients.dbias[C].to_bits(), dbias.to_bits());
                    let dweights = [&hit.gradients.dweight, &frozen.gradients.dweight];
                    assert!(dweights.iter().all(|dweight| dweight[C].is_nan()));
                    // Without batch statistics, dx is that element alone.
                    let mut dx = frozen.gradients.dx;
                    assert!(!dx[at].is_finite());
                    dx[at] = expected.gradients.dx[at];
                    assert!(dx == expected.gradients.dx);
                }
            }
        }
    }
}

#[test]
fn a_negative_running_variance_is_nan_for_its_channel() {
    let implementations = implementations();
    for (shape, config) in patterns() {
        let case = Case::new(&shape, config, ORDINARY, 34);
        for implementation in &implementations {
            let with_variance = |variance: f32| {
                let mut case = case.clone();
                case.running.as_mut().unwrap().variance[C] = variance;
                implementation.run(&case)
            };
            let what = implementation.name();
            let clean = implementation.run(&case);
            let as_far = -config.eps;
            for negative in [-1.0, as_far, -1.1e-5, f32::MIN, f32::NEG_INFINITY, f32::NAN] {
                let hit = with_variance(negative);
                assert_only_channel(&case, C, &clean, &hit, &what);
                let frozen = hit.frozen.unwrap();
                let (y, gradients) = (&frozen.y, &frozen.gradients);
                assert!(channel(&case, y, C).all(f32::is_nan), "{what}: {negative}");
                assert!(channel(&case, &gradients.dx, C).all(f32::is_nan), "{what}");
                assert!(gradients.dweight[C].is_nan(), "{what}: {negative}");
                // Σdy has no use for a variance.
                let expected = &clean.frozen.as_ref().unwrap().gradients.dbias;
                assert_eq!(&gradients.dbias, expected, "{what}: {negative}");
            }
            // Above zero with eps it is a variance, as published files have them.
            for below in [-1e-6, -9.9999e-6, -f32::MIN_POSITIVE] {
                let mut case = case.clone();
                case.running.as_mut().unwrap().variance[C] = below;
                let report = judge(&case, &implementation.run(&case));
                assert!(report.passed(), "{what}: {below:e}: {:?}", report.worst());
            }
            // Zero has no sign here.
            let [zero, negative_zero] = [0.0, -0.0].map(|v| with_variance(v).frozen.unwrap());
            assert!(zero.y.iter().all(|y| y.is_finite()), "{what}");
            assert!(zero == negative_zero, "{what}");
        }
    }
}

#[test]
fn a_constant_channel_is_its_bias() {
    let implementations = implementations();
    let constants = [1234.567, 0.1, 0.0, -3e38, 1e-30, 7e20];
    for (shape, config) in patterns() {
        let mut case = Case::new(&shape, config, ORDINARY, 35);
        for (c, constant) in constants.into_iter().enumerate() {
            case.view.runs(c).for_each(|run| case.x[run].fill(constant));
        }
        for implementation in &implementations {
            let name = implementation.name();
            let outcome = implementation.run(&case);
            for (c, constant) in constants.into_iter().enumerate() {
                let bias = case.parameters().bias(c);
                let same = |y: f32| y.to_bits() == bias.to_bits();
                assert!(
                    channel(&case, &outcome.y, c).all(same),
                    "{name}: {constant}"
                );
                assert_eq!(outcome.saved.batch_mean[c], constant, "{name}");
                assert_eq!(outcome.saved.batch_var[c], 0.0, "{name}");
                assert_eq!(outcome.gradients.dweight[c], 0.0, "{name}");
            }
            assert!(
                outcome.gradients.dx.iter().all(|dx| dx.is_finite()),
                "{name}"
            );
        }
    }
}

#[test]
fn one_value_per_channel() {
    let gpu = gpu();
    let implementations = implementations();
    for (shape, axis) in [
        (&[1, 5][..], 1),
        (&[1, 5, 1, 1], 1),
        (&[5, 1], 0),
        (&[1, 1], 1),
    ] {
        let unbiased = Config::pytorch().with_axis(axis);
        let biased = unbiased.with_running_variance(RunningVariance::Biased);
        // Allowed: σ² is 0, and y is the bias.
        let case = Case::new(shape, biased, ORDINARY, 36);
        for implementation in &implementations {
            let outcome = implementation.run(&case);
            assert!(outcome.y == *case.bias.as_ref().unwrap());
            assert!(outcome.saved.batch_mean == case.x);
            assert!(outcome.saved.batch_var.iter().all(|&v| v == 0.0));
            assert!(outcome.gradients.dx.iter().all(|&dx| dx == 0.0));
            let report = judge(&case, &outcome);
            assert!(report.passed(), "{:?}", report.worst());
        }
        for config in [unbiased, unbiased.without_running()] {
            let case = Case::new(shape, config, ORDINARY, 36);
            let plan = plan(&gpu, &case);
            let b = Buffers::apart(&gpu, &plan, &case);
            let view = case.view;
            let (outer, channels, inner) = (view.outer(), view.channels(), view.inner());
            let expected = BindError::Config(ConfigError::OneValuePerChannel {
                outer,
                channels,
                inner,
            });
            let text = expected.to_string();
            let named = format!("({outer}, {channels}, {inner})");
            assert!(text.contains(&named), "{text}");
            assert_eq!(plan.bind_train(&b.train()).err(), Some(expected.clone()));
            assert_eq!(plan.bind_backward(&b.backward()).err(), Some(expected));
            // Nothing was written.
            run(&gpu, &[]);
            for place in [&b.y, &b.saved, &b.workspace] {
                assert!(place.read().iter().all(|v| v.is_nan()));
            }
            if let (Some(place), Some(before)) = (&b.running, &case.running) {
                assert_eq!(running_of(&place.read()), *before);
            }
        }
    }
}

/// A case whose running statistics are a new layer's.
fn fresh(shape: &[usize], config: Config) -> Case {
    let mut case = Case::new(shape, config, ORDINARY, 37);
    case.running = Some(RunningStatistics::new(case.view.channels()).unwrap());
    case
}

/// The running statistics after every step, of a binding that takes `steps` batches.
fn steps(gpu: &Gpu, case: &Case, steps: &[(Vec<f32>, Option<Momentum>)]) -> Vec<RunningStatistics> {
    let plan = plan(gpu, case);
    let b = Buffers::apart(gpu, &plan, case);
    let mut binding = plan.bind_train(&b.train()).unwrap();
    let mut after = Vec::new();
    for (x, momentum) in steps {
        b.x.write(x);
        if let Some(momentum) = momentum {
            binding.set_momentum(*momentum).unwrap();
        }
        run(gpu, &[&binding]);
        after.push(running_of(&b.running.as_ref().unwrap().read()));
    }
    after
}

/// Batches of means and widths of their own.
fn batches(case: &Case, count: usize) -> Vec<Vec<f32>> {
    let mut random = Random::new(5);
    let batch = |k| random.normals(case.x.len(), k as f64 - 2.0, 0.5 + k as f64);
    (0..count).map(batch).collect()
}

fn assert_near(got: &[f32], expected: &[f64], scale: f64) {
    for (got, expected) in got.iter().zip(expected) {
        let error = (f64::from(*got) - expected).abs() / expected.abs().max(scale);
        assert!(error <= 5e-7, "{got} is not {expected}");
    }
}

#[test]
fn momentum_zero_keeps_and_momentum_one_takes() {
    let implementations = implementations();
    for (shape, config) in patterns() {
        let config = config.with_running_variance(RunningVariance::Biased);
        for implementation in &implementations {
            let case = Case::new(
                &shape,
                config.with_momentum(Momentum::new(0.0)),
                ORDINARY,
                38,
            );
            let before = case.running.as_ref().unwrap();
            let after = implementation.run(&case).running.unwrap();
            assert_eq!(
                (&after.mean, &after.variance),
                (&before.mean, &before.variance)
            );
            let counted = before.batches.iter().map(|k| k + 1);
            assert!(after.batches.into_iter().eq(counted));

            let case = Case::new(
                &shape,
                config.with_momentum(Momentum::new(1.0)),
                ORDINARY,
                38,
            );
            let outcome = implementation.run(&case);
            let after = outcome.running.unwrap();
            assert_eq!(after.mean, outcome.saved.batch_mean);
            assert_eq!(after.variance, outcome.saved.batch_var);
        }
    }
}

#[test]
fn cumulative_is_the_plain_average() {
    let gpu = gpu();
    for (shape, config) in patterns() {
        let case = fresh(&shape, config.with_momentum(Momentum::Cumulative));
        let batches = batches(&case, 5);
        let taken: Vec<_> = batches.iter().map(|x| (x.clone(), None)).collect();
        let m = case.view.count() as f64;
        let c = case.view.channels();
        let (mut mean, mut variance) = (vec![0.0; c], vec![0.0; c]);
        for (k, after) in steps(&gpu, &case, &taken).into_iter().enumerate() {
            let batch = reference::moments(&case.view, &batches[k]).unwrap();
            for c in 0..c {
                mean[c] += batch.mean[c];
                variance[c] += batch.variance[c] * m / (m - 1.0);
            }
            let average = |sum: &[f64]| sum.iter().map(|s| s / (k + 1) as f64).collect::<Vec<_>>();
            assert_near(&after.mean, &average(&mean), 1.0);
            assert_near(&after.variance, &average(&variance), 0.0);
            assert_eq!(after.batches, vec![k as u32 + 1; c]);
        }
    }
}

#[test]
fn skipped_batches_do_not_count_in_the_average() {
    let gpu = gpu();
    let (shape, config) = patterns()[0].clone();
    let case = fresh(&shape, config.with_momentum(Momentum::Cumulative));
    let mut batches = batches(&case, 3);
    batches[1][element(&case, C, 3)] = f32::NAN;
    let taken: Vec<_> = batches.iter().map(|x| (x.clone(), None)).collect();
    let after = steps(&gpu, &case, &taken).pop().unwrap();
    let [first, _, third] =
        [0, 1, 2].map(|k| reference::moments(&case.view, &batches[k]).unwrap().mean[C]);
    assert_near(&after.mean[C..=C], &[(first + third) / 2.0], 1.0);
    assert_eq!(after.batches, [3, 3, 2, 3, 3, 3]);
}

#[test]
fn batches_count_to_the_end_and_stay_there() {
    let config = Config::pytorch().with_momentum(Momentum::Cumulative);
    let mut case = Case::new(&[4, 3, 5], config, ORDINARY, 39);
    case.running.as_mut().unwrap().batches = vec![u32::MAX, u32::MAX - 1, 7];
    for implementation in implementations() {
        let after = implementation.run(&case).running.unwrap();
        assert_eq!(after.batches, [u32::MAX, u32::MAX, 8]);
    }
}

#[test]
fn set_momentum_holds_from_the_next_step_on() {
    let gpu = gpu();
    for (shape, config) in patterns() {
        let case = fresh(&shape, config.with_momentum(Momentum::new(0.1)));
        let momenta = [
            None,
            Some(Momentum::new(0.5)),
            None,
            Some(Momentum::Cumulative),
            Some(Momentum::new(0.25)),
        ];
        let taken: Vec<_> = batches(&case, 5).into_iter().zip(momenta).collect();
        let mut running = config.running.unwrap();
        running.momentum = Momentum::new(0.1);
        let mut before = case.running.clone().unwrap();
        for ((x, momentum), after) in taken.iter().zip(steps(&gpu, &case, &taken)) {
            running.momentum = momentum.unwrap_or(running.momentum);
            let batch = reference::moments(&case.view, x).unwrap();
            let count = case.view.count();
            let (expected, counted) =
                reference::update_running(&before, &batch, count, running).unwrap();
            assert_near(&after.mean, &expected.mean, 1.0);
            assert_near(&after.variance, &expected.variance, 0.0);
            assert_eq!(after.batches, counted);
            before = after;
        }
    }
}

#[test]
fn set_momentum_is_one_bindings_own_and_refuses_nonsense() {
    let gpu = gpu();
    let case = fresh(&[4, 3, 5], Config::pytorch());
    let plan = plan(&gpu, &case);
    let [a, b] = [0, 1].map(|_| Buffers::apart(&gpu, &plan, &case));
    let mut changed = plan.bind_train(&a.train()).unwrap();
    let other = plan.bind_train(&b.train()).unwrap();
    for momentum in [-0.1, 1.5, f32::NAN] {
        let refused = changed.set_momentum(Momentum::new(momentum));
        let expected = |e| matches!(e, BindError::Config(ConfigError::Momentum { .. }));
        assert!(refused.is_err_and(expected));
    }
    let clone = changed.clone();
    changed.set_momentum(Momentum::new(0.0)).unwrap();
    run(&gpu, &[&changed, &other]);
    let means = |b: &Buffers| running_of(&b.running.as_ref().unwrap().read()).mean;
    assert_eq!(means(&a), [0.0; 3]);
    assert!(means(&b).iter().all(|&mean| mean != 0.0));
    // A clone keeps the momentum that it was made with.
    run(&gpu, &[&clone]);
    assert_eq!(means(&a), means(&b));

    let b = Buffers::apart(&gpu, &plan, &case);
    let stateless = Case::new(&[4, 3, 5], case.config.without_running(), ORDINARY, 1);
    let stateless_plan = self::plan(&gpu, &stateless);
    let without = Buffers::apart(&gpu, &stateless_plan, &stateless);
    for mut binding in [
        plan.bind_inference(&b.inference()).unwrap(),
        plan.bind_backward(&b.backward()).unwrap(),
        stateless_plan.bind_train(&without.train()).unwrap(),
    ] {
        let refused = binding.set_momentum(Momentum::new(0.5));
        assert_eq!(refused, Err(BindError::Config(ConfigError::NoMomentum)));
    }
}

#[test]
fn gradients_are_added_where_asked_and_skipped_where_not() {
    let gpu = gpu();
    for (shape, config) in patterns() {
        let case = Case::new(&shape, config, ORDINARY, 40);
        let plan = plan(&gpu, &case);
        let b = Buffers::apart(&gpu, &plan, &case);
        run(&gpu, &[&plan.bind_train(&b.train()).unwrap()]);
        // [frozen, dx, grads, accumulate] -> (dx, grads)
        let gradients = |frozen: bool, dx: bool, grads: bool, accumulate: bool, before: f32| {
            b.dx.write(&vec![POISON; b.dx.len]);
            b.grads.write(&vec![before; b.grads.len]);
            let dx = dx.then(|| b.dx.slice());
            let grads = grads.then(|| b.grads.slice());
            let buffers = match frozen {
                true => b.backward_frozen(),
                false => b.backward(),
            };
            let buffers = buffers
                .with_dx(dx)
                .with_grads(grads)
                .with_accumulate(accumulate);
            run(&gpu, &[&plan.bind_backward(&buffers).unwrap()]);
            (b.dx.read(), b.grads.read())
        };
        for frozen in [false, true] {
            let (dx, grads) = gradients(frozen, true, true, false, f32::NAN);
            assert!(dx.iter().chain(&grads).all(|v| v.is_finite()));
            // Added into 3.
            let (same_dx, added) = gradients(frozen, true, true, true, 3.0);
            assert!(same_dx == dx);
            assert!(added.iter().zip(&grads).all(|(added, g)| *added == 3.0 + g));
            // Neither without the other.
            let (none, same) = gradients(frozen, false, true, false, f32::NAN);
            assert!(none.iter().all(|v| v.is_nan()));
            assert!(same == grads);
            let (none, added) = gradients(frozen, false, true, true, 3.0);
            assert!(none.iter().all(|v| v.is_nan()));
            assert!(added.iter().zip(&grads).all(|(added, g)| *added == 3.0 + g));
            let (same, untouched) = gradients(frozen, true, false, false, 5.0);
            assert!(same == dx);
            assert!(untouched.iter().all(|&g| g == 5.0));
        }
    }
}

#[test]
fn more_workgroups_than_a_dimension_holds() {
    let gpu = gpu();
    let narrow = Tuning {
        interleaved_workgroup: 8,
        ..Tuning::CPU_ADAPTER
    };
    for (shape, tuning) in [
        (&[2, 70_000, 2][..], Tuning::CPU_ADAPTER),
        (&[1, 140_000, 3], Tuning::CPU_ADAPTER),
        (&[2, 530_001], narrow),
    ] {
        let case = Case::new(shape, Config::pytorch(), ORDINARY, 41);
        let context = context(&gpu, tuning);
        let plan = context.plan(&case.config, shape).unwrap();
        let [width, height] = plan.schedule().pieces[0].map.dispatch;
        assert!(width <= 65_535 && height > 1);
        let outcome = GpuEngine::new(&gpu, "folded", tuning).run(&case);
        let report = judge(&case, &outcome);
        assert!(report.passed(), "{shape:?}: {:?}", report.worst());
    }
}

#[test]
fn lanes_of_several_columns_leave_partials_of_each() {
    // Too many values for one dispatch, so that what a lane knows of its columns is stored between two.
    let gpu = gpu();
    let implementation = GpuEngine::new(&gpu, "columns", Tuning::CPU_ADAPTER);
    let case = Case::new(&[4099, 64], Config::pytorch(), ORDINARY, 45);
    let context = context(&gpu, Tuning::CPU_ADAPTER);
    let plan = context.plan(&case.config, &case.shape).unwrap();
    let schedule = plan.schedule();
    assert!(schedule.pieces[0].reduce.lane_columns > 1);
    assert!(schedule.resident_train.is_none() && schedule.resident_backward.is_none());
    let report = judge(&case, &implementation.run(&case));
    assert!(report.passed(), "{:?}", report.worst());
}

#[test]
fn the_papers_identity_gives_x_back() {
    let gpu = gpu();
    for (shape, config) in patterns() {
        for kind in Kind::ALL {
            let mut case = Case::new(&shape, config.without_running(), kind, 42);
            let batch = reference::moments(&case.view, &case.x).unwrap();
            let eps = case.config.eps;
            let inv_std = batch.inv_std(eps).into_iter();
            case.weight = Some(inv_std.map(|inv_std| (1.0 / inv_std) as f32).collect());
            case.bias = Some(batch.mean.iter().map(|&mean| mean as f32).collect());
            let plan = plan(&gpu, &case);
            let b = Buffers::apart(&gpu, &plan, &case);
            run(&gpu, &[&plan.bind_train(&b.train()).unwrap()]);
            let y = b.y.read();
            for c in 0..case.view.channels() {
                // |x̂·weight| + |bias|, and what rounding weight and bias adds to the bound.
                let mean = batch.mean[c];
                let values = channel(&case, &case.x, c).map(f64::from);
                let scale = values.map(|x| (x - mean).abs()).fold(0.0, f64::max) + mean.abs();
                for (x, y) in channel(&case, &case.x, c).zip(channel(&case, &y, c)) {
                    let error = (f64::from(x) - f64::from(y)).abs();
                    assert!(error <= (5e-7 + 6e-8) * scale, "{kind:?}: {x} became {y}");
                }
            }
        }
    }
}

#[test]
fn inference_without_eps() {
    for (shape, config) in patterns() {
        let mut case = Case::new(&shape, config.with_eps(0.0), ORDINARY, 43);
        // Powers of four, a variance of zero, and one beyond all bounds.
        let variance = vec![1.0, 4.0, 0.0, 0.25, f32::INFINITY, 1e-30];
        case.running.as_mut().unwrap().variance = variance;
        let gpu = gpu();
        for tuning in [Tuning::CPU_ADAPTER, Tuning::DISCRETE] {
            let context = context(&gpu, tuning);
            let plan = context.plan(&case.config, &case.shape).unwrap();
            let b = Buffers::apart(&gpu, &plan, &case);
            run(&gpu, &[&plan.bind_inference(&b.inference()).unwrap()]);
            let running = case.running.as_ref().unwrap();
            let wide = |v: &[f32]| v.iter().map(|&v| v.into()).collect();
            let (mean, variance) = (wide(&running.mean), wide(&running.variance));
            let frozen = reference::Moments::new(mean, variance).unwrap();
            let expected =
                reference::normalize(&case.view, &case.x, &frozen, case.parameters(), 0.0).unwrap();
            for (i, (y, expected)) in b.y.read().iter().zip(expected).enumerate() {
                let c = case.view.channel_of(i);
                let close = (f64::from(*y) - expected).abs() <= 1e-5 * expected.abs().max(1.0);
                let same = *y == expected as f32 || (y.is_nan() && expected.is_nan());
                assert!(close || same, "channel {c}: {y} is not {expected}");
            }
        }
    }
}

#[test]
fn saved_statistics_are_what_training_saw() {
    // The rows of `saved`, as callers read them: mean = pivot + offset, and the pivot is a value
    // of the channel.
    let gpu = gpu();
    for (shape, config) in patterns() {
        let case = Case::new(&shape, config, ORDINARY, 44);
        let plan = plan(&gpu, &case);
        let b = Buffers::apart(&gpu, &plan, &case);
        run(&gpu, &[&plan.bind_train(&b.train()).unwrap()]);
        let saved = saved_of(&b.saved.read());
        for c in 0..case.view.channels() {
            assert!(channel(&case, &case.x, c).any(|x| x == saved.pivot[c]));
            assert_eq!(saved.pivot[c] + saved.offset[c], saved.batch_mean[c]);
        }
    }
}

/// The rows of sums and moments of a batch of no examples are written, whatever was there; nothing else is.
#[test]
fn an_empty_batch_has_sums_of_zero() {
    let gpu = gpu();
    for tuning in [Tuning::CPU_ADAPTER, Tuning::DISCRETE] {
        let context = context(&gpu, tuning);
        // One channel a load, four, and several columns of them a lane.
        for (shape, axis) in [
            (&[0, 7, 4][..], 1),
            (&[0, 3, 8], -1),
            (&[0, 64], 1),
            (&[0, 5, 1], 1),
        ] {
            let config = Config::pytorch().with_axis(axis);
            let plan = context.plan(&config, shape).unwrap();
            let channels = plan.view().channels();
            let rows = |rows: usize| {
                Tensor::upload(&gpu, &[rows, channels], &vec![POISON; rows * channels]).unwrap()
            };
            let nothing = Tensor::empty(&gpu, shape).unwrap();
            let (moments, saved, running) = (rows(3), rows(5), rows(3));
            let (grads, frozen, affine) = (rows(2), rows(2), rows(2));
            let none = nothing.slice();
            let train = TrainBuffers::new(none, saved.slice(), none)
                .with_y(none)
                .with_affine(affine.slice())
                .with_running(running.slice());
            let backward = |statistics, grads: &Tensor| {
                let buffers = BackwardBuffers::new(none, none, statistics, none)
                    .with_dx(none)
                    .with_affine(affine.slice())
                    .with_grads(grads.slice());
                plan.bind_backward(&buffers).unwrap()
            };
            let bindings = [
                plan.bind_moments(&MomentsBuffers::new(none, moments.slice(), none))
                    .unwrap(),
                plan.bind_train(&train).unwrap(),
                backward(StatisticsRows::Saved(saved.slice()), &grads),
                backward(StatisticsRows::Running(running.slice()), &frozen),
            ];
            run(&gpu, &bindings.each_ref());
            let read = |tensor: &Tensor| tensor.read_blocking().unwrap();
            assert_eq!(read(&moments), vec![0.0; 3 * channels], "{shape:?}");
            assert_eq!(read(&grads), vec![0.0; 2 * channels], "{shape:?}");
            assert_eq!(read(&frozen), vec![0.0; 2 * channels], "{shape:?}");
            for kept in [&saved, &running] {
                assert!(read(kept).iter().all(|&v| is_poison(v)), "{shape:?}");
            }
            assert!(plan.describe().contains("nothing runs but one dispatch"));
        }
    }
}
