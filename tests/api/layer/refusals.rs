//! What a layer refuses: each with its error, nothing changed, and the next good call working.

use wgpu_batchnorm::Error;
use wgpu_batchnorm::error::{ConfigError, DeviceError, PlanError, ShapeError};
use wgpu_batchnorm::{
    Adapter, BatchNorm, Config, Gpu, LayerState, Mode, Momentum, RunningStatistics, Tensor,
};

use crate::support::{bits, ordinary, read, upload};
use testkit::gpu::gpu;

const SHAPE: [usize; 3] = [4, 3, 5];

/// Hands `refused` a layer, which must then be as before and work.
fn unharmed(gpu: &Gpu, config: Config, refused: impl FnOnce(&mut BatchNorm)) {
    let mut layer = BatchNorm::new(gpu, 3, config).unwrap();
    let x = upload(gpu, &SHAPE, &ordinary(&SHAPE, 1));
    layer.forward(&x, Mode::Train).unwrap();
    let state = layer.state_blocking().unwrap();
    let mut twin = BatchNorm::with_state(gpu, 3, config, &state).unwrap();
    refused(&mut layer);
    assert_eq!(layer.state_blocking().unwrap(), state);
    let [y, expected] = [&mut layer, &mut twin].map(|layer| {
        let forward = layer.forward(&x, Mode::Train).unwrap();
        bits(&read(&forward.y))
    });
    assert_eq!(y, expected);
}

#[test]
fn tensors_of_another_layers_shape() {
    let gpu = gpu();
    unharmed(&gpu, Config::pytorch(), |layer| {
        for mode in [Mode::Train, Mode::Eval] {
            let mut forward =
                |shape: &[usize]| layer.forward(&Tensor::empty(&gpu, shape).unwrap(), mode);
            let wrong = forward(&[4, 5, 3]);
            let text = wrong.as_ref().unwrap_err().to_string();
            assert_refused!(
                wrong,
                Error::Shape(ShapeError::Mismatch { tensor: "x", .. })
            );
            assert_eq!(text, "x has shape [4, 5, 3], expected [4, 3, 3]");
            let flat = forward(&[3]);
            assert_refused!(flat, Error::Shape(ShapeError::Rank { .. }));
            let scalar = forward(&[]);
            assert_refused!(scalar, Error::Shape(ShapeError::Rank { .. }));
        }
    });
}

#[test]
fn an_axis_that_the_tensor_lacks() {
    let gpu = gpu();
    for axis in [3, -4] {
        let config = Config::pytorch().with_axis(axis);
        let mut layer = BatchNorm::new(&gpu, 3, config).unwrap();
        let x = upload(&gpu, &SHAPE, &ordinary(&SHAPE, 2));
        let refused = layer.forward(&x, Mode::Train);
        assert_refused!(
            refused,
            Error::Shape(ShapeError::Axis { axis: got, .. }) if got == axis
        );
        let x = Tensor::empty(&gpu, &[3, 3, 3, 3]).unwrap();
        layer.forward(&x, Mode::Train).unwrap();
    }
}

#[test]
fn one_value_per_channel() {
    let gpu = gpu();
    let one = upload(&gpu, &[1, 3, 1], &[1.0, -2.0, 3.0]);
    unharmed(&gpu, Config::pytorch(), |layer| {
        let refused = layer.forward(&one, Mode::Train);
        assert_refused!(
            refused,
            Error::Config(ConfigError::OneValuePerChannel { .. })
        );
        // Inference has its statistics already.
        layer.forward(&one, Mode::Eval).unwrap();
    });
    unharmed(&gpu, Config::pytorch().without_running(), |layer| {
        for mode in [Mode::Train, Mode::Eval] {
            let refused = layer.forward(&one, mode);
            assert_refused!(
                refused,
                Error::Config(ConfigError::OneValuePerChannel { .. })
            );
        }
    });
    // A biased running variance allows it: the variance is 0, and what is left is the bias.
    let mut layer = BatchNorm::new(&gpu, 3, Config::onnx()).unwrap();
    let affine = [5.0, 6.0, 7.0, 0.5, -0.25, 2.0];
    layer.affine().write(&affine).unwrap();
    let y = layer.forward(&one, Mode::Train).unwrap().y;
    assert_eq!(read(&y), affine[3..]);
}

#[test]
fn options_out_of_range() {
    let gpu = gpu();
    let new = |config| BatchNorm::new(&gpu, 3, config);
    for eps in [f32::NAN, f32::INFINITY, -1e-5] {
        let refused = new(Config::pytorch().with_eps(eps));
        assert_refused!(refused, Error::Config(ConfigError::Eps { .. }));
    }
    for momentum in [-0.1, 1.5, f32::NAN] {
        let momentum = Momentum::new(momentum);
        let refused = new(Config::pytorch().with_momentum(momentum));
        assert_refused!(refused, Error::Config(ConfigError::Momentum { .. }));
        unharmed(&gpu, Config::pytorch(), |layer| {
            let refused = layer.set_momentum(momentum);
            assert_refused!(refused, ConfigError::Momentum { .. });
        });
    }
    unharmed(&gpu, Config::pytorch().without_running(), |layer| {
        let refused = layer.set_momentum(Momentum::new(0.5));
        assert_refused!(refused, ConfigError::NoMomentum);
    });
    let refused = BatchNorm::new(&gpu, 0, Config::pytorch());
    assert_refused!(refused, Error::Config(ConfigError::NoChannels));
    new(Config::pytorch()).unwrap();
}

#[test]
fn an_eps_too_small_to_train_with() {
    let gpu = gpu();
    let mut layer = BatchNorm::new(&gpu, 3, Config::pytorch().with_eps(0.0)).unwrap();
    let x = upload(&gpu, &SHAPE, &ordinary(&SHAPE, 3));
    let refused = layer.forward(&x, Mode::Train);
    assert_refused!(refused, Error::Config(ConfigError::TrainingEps { .. }));
    // Running mean 0 and variance 1 leave the input as it is.
    let y = layer.forward(&x, Mode::Eval).unwrap().y;
    assert_eq!(read(&y), read(&x));
}

#[test]
fn tensors_that_cannot_be() {
    let gpu = gpu();
    let short = Tensor::upload(&gpu, &SHAPE, &[0.0; 59]);
    assert_refused!(
        short,
        Error::Shape(ShapeError::Length {
            got: 59,
            expected: 60,
            ..
        })
    );
    for empty in [&[2, 0, 3][..], &[0, 0]] {
        let refused = Tensor::empty(&gpu, empty);
        assert_refused!(refused, Error::Shape(ShapeError::Empty { .. }));
    }
    let endless = Tensor::empty(&gpu, &[usize::MAX, 2]);
    assert_refused!(endless, Error::Shape(ShapeError::Overflow { .. }));
    let large = Tensor::empty(&gpu, &[1 << 40, 4]);
    assert_refused!(large, Error::Plan(PlanError::TooLarge { .. }));
    let tensor = upload(&gpu, &SHAPE, &ordinary(&SHAPE, 4));
    let refused = tensor.write(&[1.0; 61]);
    assert_refused!(
        refused,
        Error::Shape(ShapeError::Length {
            got: 61,
            expected: 60,
            ..
        })
    );
    assert_eq!(read(&tensor), ordinary(&SHAPE, 4));
}

/// A state given in code is checked as one from a file is.
#[test]
fn states_of_another_layer() {
    let gpu = gpu();
    let config = Config::pytorch();
    unharmed(&gpu, config, |layer| {
        let good = LayerState::new(3, &config).unwrap();
        let change = |change: &dyn Fn(&mut LayerState, &mut RunningStatistics)| {
            let mut state = good.clone();
            // So that a load that went half-way would show.
            state.weight = Some(vec![9.0; 3]);
            let mut running = RunningStatistics::new(3).unwrap();
            change(&mut state, &mut running);
            state.with_running(running)
        };
        for (what, state) in [
            ("weight", change(&|state, _| state.weight = None)),
            ("bias", change(&|state, _| state.bias = Some(vec![0.0; 4]))),
            ("running_mean", change(&|_, r| r.mean = vec![0.0; 2])),
            (
                "running_var",
                change(&|_, r| r.variance = vec![1.0, 1.0, -1.0]),
            ),
            ("batches", change(&|_, r| r.batches = vec![0; 2])),
        ] {
            let refused = layer.load(&state);
            let Err(Error::State(refused)) = refused else {
                panic!("{what}: {refused:?}");
            };
            assert!(refused.to_string().contains(what), "{refused}");
        }
    });
}

#[test]
fn an_adapter_of_no_such_name() {
    let refused = Gpu::new_blocking(&Adapter::Named("no such adapter".to_owned()));
    let Err(DeviceError::NoAdapterNamed { name, found }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(name, "no such adapter");
    let best = gpu().info().name.clone();
    assert!(found.contains(&best), "{found:?} without {best}");
    let named = Gpu::new_blocking(&Adapter::Named(best.to_uppercase())).unwrap();
    assert_eq!(named.info().name, best);
}
