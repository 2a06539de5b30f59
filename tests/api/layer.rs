//! A layer over its life: modes, layouts, running statistics, parameters that move, threads.

mod backward;
mod checks;
mod refusals;

use wgpu_batchnorm::checked::Checked;
use wgpu_batchnorm::{
    Affine, BatchNorm, Config, Gpu, Mode, Momentum, NonFinite, RunningStatistics, Tensor, View,
};

use crate::support::{bits, ordinary, read, upload};
use testkit::case::Case;
use testkit::data::Kind;
use testkit::gpu::gpu;
use testkit::layer::{Layer, layer_of};
use testkit::outcome::{Engine, judge};

/// Planar and interleaved, of three channels each.
const PLANAR: [usize; 3] = [4, 3, 5];
const INTERLEAVED: [usize; 3] = [4, 5, 3];

fn running(layer: &BatchNorm) -> RunningStatistics {
    layer.state_blocking().unwrap().running.unwrap()
}

fn train(layer: &mut BatchNorm, x: &Tensor) -> Vec<f32> {
    read(&layer.forward(x, Mode::Train).unwrap().y)
}

fn evaluate(layer: &mut BatchNorm, x: &Tensor) -> Vec<f32> {
    read(&layer.forward(x, Mode::Eval).unwrap().y)
}

#[test]
fn every_layout_in_both_modes() {
    let layer = Layer { gpu: gpu() };
    let large_mean = Kind::Normal {
        mean: 1e4,
        std: 1.0,
    };
    for (shape, axis) in [
        (&[4, 6, 5, 7][..], 1),
        (&[4, 5, 7, 6], -1),
        (&[32, 10], 1),
        (&[6, 5, 17], 1),
    ] {
        for kind in [Kind::ALL[0], large_mean] {
            let case = Case::new(shape, Config::pytorch().with_axis(axis), kind, 1);
            // The layer's own check has passed already: this is that the judge says so too.
            let report = judge(&case, &layer.run(&case));
            assert!(report.passed(), "{}: {:?}", case.name, report.worst());
        }
    }
}

#[test]
fn every_option_keeps_the_layers_own_check() {
    let layer = Layer { gpu: gpu() };
    let base = Config::pytorch();
    for config in [
        Config::onnx(),
        Config::keras().with_axis(1),
        base.with_affine(Affine::Weight),
        base.with_affine(Affine::Bias),
        base.with_affine(Affine::None),
        base.with_momentum(Momentum::Cumulative),
        base.without_running(),
    ] {
        let case = Case::new(&[6, 5, 9], config, Kind::ALL[0], 2);
        let outcome = layer.run(&case);
        assert_eq!(outcome.frozen.is_some(), config.running.is_some());
        assert!(judge(&case, &outcome).passed(), "{}", case.name);
    }
}

#[test]
fn evaluation_moves_nothing() {
    let gpu = gpu();
    let mut layer = BatchNorm::new(&gpu, 3, Config::pytorch()).unwrap();
    let x = upload(&gpu, &PLANAR, &ordinary(&PLANAR, 1));
    train(&mut layer, &x);
    let before = layer.state_blocking().unwrap();
    let first = evaluate(&mut layer, &x);
    assert_eq!(bits(&evaluate(&mut layer, &x)), bits(&first));
    assert_eq!(layer.state_blocking().unwrap(), before);
    assert_eq!(layer.num_batches_tracked(), 1);
}

#[test]
fn without_running_statistics_both_modes_use_the_batchs() {
    let gpu = gpu();
    let config = Config::pytorch().without_running();
    let mut layer = Checked::new(BatchNorm::new(&gpu, 3, config).unwrap());
    let x = upload(&gpu, &PLANAR, &ordinary(&PLANAR, 2));
    let forward = layer.forward_blocking(&x, Mode::Eval).unwrap();
    assert!(forward.saved.read_blocking().unwrap().is_some());
    let y = layer.infer_blocking(&x).unwrap();
    assert_eq!(bits(&read(&forward.y)), bits(&read(&y)));
    let mut layer = layer.into_inner();
    assert_eq!(bits(&read(&forward.y)), bits(&train(&mut layer, &x)));
    assert_eq!(layer.num_batches_tracked(), 0);
    assert!(layer.running().is_none());
    assert!(layer.state_blocking().unwrap().running.is_none());
    layer.reset_running_stats().unwrap();
    train(&mut layer, &x);
}

#[test]
fn reset_starts_over() {
    let gpu = gpu();
    let x = upload(&gpu, &PLANAR, &ordinary(&PLANAR, 3));
    for momentum in [Momentum::new(0.1), Momentum::Cumulative] {
        let config = Config::pytorch().with_momentum(momentum);
        let mut layer = BatchNorm::new(&gpu, 3, config).unwrap();
        let fresh = layer.state_blocking().unwrap();
        train(&mut layer, &x);
        let once = layer.state_blocking().unwrap();
        assert_ne!(once, fresh);
        train(&mut layer, &x);
        layer.reset_running_stats().unwrap();
        assert_eq!(layer.state_blocking().unwrap(), fresh);
        train(&mut layer, &x);
        assert_eq!(layer.state_blocking().unwrap(), once);
    }
}

#[test]
fn momentum_can_be_changed() {
    let gpu = gpu();
    let mut layer = Checked::new(BatchNorm::new(&gpu, 3, Config::pytorch()).unwrap());
    let x = upload(&gpu, &PLANAR, &ordinary(&PLANAR, 4));
    let momentum = |layer: &mut Checked, momentum| {
        layer.layer_mut().set_momentum(momentum).unwrap();
    };

    momentum(&mut layer, Momentum::new(1.0));
    let forward = layer.forward_blocking(&x, Mode::Train).unwrap();
    let saved = forward.saved.read_blocking().unwrap().unwrap();
    let all = running(layer.layer());
    assert_eq!(bits(&all.mean), bits(&saved.batch_mean));

    momentum(&mut layer, Momentum::new(0.0));
    let other = upload(&gpu, &PLANAR, &ordinary(&PLANAR, 5));
    layer.forward_blocking(&other, Mode::Train).unwrap();
    let none = running(layer.layer());
    assert_eq!((&none.mean, &none.variance), (&all.mean, &all.variance));
    assert_eq!(none.batches, [2; 3]);

    // The third batch of three: a third of the way towards it.
    momentum(&mut layer, Momentum::Cumulative);
    layer.forward_blocking(&other, Mode::Train).unwrap();
    assert_eq!(running(layer.layer()).batches, [3; 3]);
    assert_ne!(running(layer.layer()).mean, all.mean);
}

#[test]
fn a_cumulative_average_is_the_mean_of_all_batches() {
    let gpu = gpu();
    let config = Config::pytorch().with_momentum(Momentum::Cumulative);
    let mut layer = BatchNorm::new(&gpu, 3, config).unwrap();
    let mut sums = [0.0f64; 3];
    for seed in 0..5 {
        let x = upload(&gpu, &PLANAR, &ordinary(&PLANAR, 40 + seed));
        let forward = layer.forward(&x, Mode::Train).unwrap();
        let saved = forward.saved.read_blocking().unwrap().unwrap();
        for (sum, mean) in sums.iter_mut().zip(&saved.batch_mean) {
            *sum += f64::from(*mean);
        }
    }
    for (mean, sum) in running(&layer).mean.iter().zip(sums) {
        assert!((f64::from(*mean) - sum / 5.0).abs() < 1e-6, "{mean} {sum}");
    }
}

#[test]
fn an_optimizer_may_step_on_the_parameters() {
    let gpu = gpu();
    for (shape, axis) in [(PLANAR, 1), (INTERLEAVED, -1)] {
        let config = Config::pytorch().with_axis(axis);
        let mut layer = Checked::new(BatchNorm::new(&gpu, 3, config).unwrap());
        let x = upload(&gpu, &shape, &ordinary(&shape, 6));
        let run = |layer: &mut Checked, mode| read(&layer.forward_blocking(&x, mode).unwrap().y);
        let plain = run(&mut layer, Mode::Train);
        // Powers of two, so that what they do is exact.
        let stepped = [2.0, -0.5, 0.0, 0.0, 0.0, 7.0];
        layer.layer().affine().write(&stepped).unwrap();
        let view = View::new(&shape, axis).unwrap();
        let y = run(&mut layer, Mode::Train);
        for (i, (y, plain)) in y.iter().zip(&plain).enumerate() {
            let c = view.channel_of(i);
            assert_eq!(*y, plain * stepped[c] + stepped[3 + c], "{i}");
        }
        let y = run(&mut layer, Mode::Eval);
        let last = y
            .iter()
            .enumerate()
            .filter(|(i, _)| view.channel_of(*i) == 2);
        last.for_each(|(_, y)| assert_eq!(*y, 7.0));
        let state = layer.layer().state_blocking().unwrap();
        assert_eq!(state.weight.unwrap(), stepped[..3]);
        assert_eq!(state.bias.unwrap(), stepped[3..]);
    }
}

/// A batch with a NaN counts as a call; the channel it is in does not count it.
#[test]
fn a_nan_stays_in_its_channel() {
    let gpu = gpu();
    for (shape, axis, poisoned) in [(PLANAR, 1, 8), (INTERLEAVED, -1, 7)] {
        for non_finite in [NonFinite::Skip, NonFinite::Propagate] {
            let config = Config::pytorch()
                .with_axis(axis)
                .with_non_finite(non_finite);
            let case = Case::new(&shape, config, Kind::ALL[0], 7);
            let (layer, mut clean) = (layer_of(&gpu, &case), layer_of(&gpu, &case));
            let mut layer = Checked::new(layer);
            let mut x = case.x.clone();
            assert_eq!(case.view.channel_of(poisoned), 1);
            x[poisoned] = f32::NAN;
            let x = upload(&gpu, &shape, &x);
            let y = read(&layer.forward_blocking(&x, Mode::Train).unwrap().y);
            let layer = layer.into_inner();
            let expected = train(&mut clean, &upload(&gpu, &shape, &case.x));
            for (i, (y, expected)) in y.iter().zip(&expected).enumerate() {
                match case.view.channel_of(i) {
                    1 => assert!(y.is_nan(), "{i}"),
                    _ => assert_eq!(y.to_bits(), expected.to_bits(), "{i}"),
                }
            }
            assert_eq!(layer.num_batches_tracked(), 1);
            let (before, after) = (case.running.unwrap(), running(&layer));
            let untouched = running(&clean);
            for c in [0, 2] {
                assert_eq!(after.mean[c].to_bits(), untouched.mean[c].to_bits());
                assert_eq!(after.variance[c].to_bits(), untouched.variance[c].to_bits());
                assert_eq!(after.batches[c], before.batches[c] + 1);
            }
            if non_finite == NonFinite::Skip {
                assert_eq!(after.mean[1].to_bits(), before.mean[1].to_bits());
                assert_eq!(after.variance[1].to_bits(), before.variance[1].to_bits());
                assert_eq!(after.batches[1], before.batches[1]);
            } else {
                assert!(after.mean[1].is_nan() && after.variance[1].is_nan());
                assert_eq!(after.batches[1], before.batches[1] + 1);
            }
        }
    }
}

#[test]
fn a_batch_of_another_size_needs_no_other_layer() {
    let gpu = gpu();
    let mut layer = Checked::new(BatchNorm::new(&gpu, 3, Config::pytorch()).unwrap());
    for (k, outer) in [2, 64, 5].into_iter().enumerate() {
        let shape = [outer, 3, 9];
        let x = upload(&gpu, &shape, &ordinary(&shape, 8));
        layer.forward_blocking(&x, Mode::Train).unwrap();
        assert_eq!(layer.layer().num_batches_tracked(), k as u64 + 1);
    }
}

/// What a layer gives over some steps, as bits.
fn life(gpu: &Gpu, shape: &[usize], axis: isize, seed: u64) -> Vec<Vec<u32>> {
    let case = Case::new(shape, Config::pytorch().with_axis(axis), Kind::ALL[0], seed);
    let mut layer = layer_of(gpu, &case);
    let (x, dy) = (upload(gpu, shape, &case.x), upload(gpu, shape, &case.dy));
    let mut results = Vec::new();
    for mode in [Mode::Train, Mode::Eval, Mode::Train] {
        let forward = layer.forward(&x, mode).unwrap();
        results.push(bits(&read(&forward.y)));
        let gradients = layer.backward(&x, &dy, &forward.saved).unwrap();
        results.push(bits(&read(&gradients.dx.unwrap())));
        results.push(bits(&read(&gradients.parameters)));
    }
    results.push(bits(&read(layer.running().unwrap())));
    results
}

#[test]
fn threads_share_a_device() {
    let gpu = gpu();
    let lives: [(&[usize], isize); 2] = [(&[8, 5, 11, 13], 1), (&[8, 11, 13, 6], -1)];
    let alone: Vec<_> = lives
        .iter()
        .map(|&(s, axis)| life(&gpu, s, axis, 9))
        .collect();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (gpu, alone) = (&gpu, &alone);
            scope.spawn(move || {
                for k in [thread % 2, (thread + 1) % 2] {
                    let (shape, axis) = lives[k];
                    assert_eq!(life(gpu, shape, axis, 9), alone[k], "thread {thread}");
                }
            });
        }
    });
}

/// A device that somebody else made and goes on using.
#[test]
fn a_layer_on_the_callers_device() {
    let made = gpu();
    let (device, queue) = (made.device().clone(), made.queue().clone());
    let own = Gpu::with_device(device, queue).unwrap();
    assert_eq!(own.info().name, made.info().name);
    assert_eq!(life(&own, &PLANAR, 1, 10), life(&made, &PLANAR, 1, 10));
    // Tensors go with their device, whichever `Gpu` they were made with.
    let mut layer = Checked::new(BatchNorm::new(&own, 3, Config::pytorch()).unwrap());
    let x = upload(&made, &PLANAR, &ordinary(&PLANAR, 11));
    layer.forward_blocking(&x, Mode::Train).unwrap();
}
