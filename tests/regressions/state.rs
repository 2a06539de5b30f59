//! A layer's state on the host and in files: what is wrong with it is told, by tensor and channel.

use testkit::gpu::gpu;
use wgpu_batchnorm::error::{ShapeError, StateError};
use wgpu_batchnorm::{
    Affine, BatchNorm, Config, Error, LayerState, Mode, NonFinite, RunningStatistics,
    SavedStatistics, Tensor,
};

const PREFIX: &str = "bn1.";

/// The state of a layer of three channels, changed.
fn state(change: impl Fn(&mut LayerState, &mut RunningStatistics)) -> LayerState {
    let mut state = LayerState::new(3, &Config::pytorch()).unwrap();
    let mut running = state.running.take().unwrap();
    change(&mut state, &mut running);
    state.running = Some(running);
    state
}

fn read(bytes: &[u8], prefix: &str, config: &Config) -> Result<LayerState, StateError> {
    LayerState::from_safetensors(bytes, prefix, 3, config)
}

/// Running statistics of a file that are not finite were taken, and made a channel of NaN or of nothing but bias.
#[test]
fn not_finite_in_a_file() {
    let config = Config::pytorch();
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for (tensor, expected) in [
            ("running_mean", "a finite mean"),
            (
                "running_var",
                "a finite variance of at least 0, or one that eps brings above 0",
            ),
        ] {
            let state = state(|_, running| match tensor {
                "running_mean" => running.mean[1] = bad,
                _ => running.variance[1] = bad,
            });
            // It can be saved all the same.
            let bytes = state.to_safetensors(PREFIX).unwrap();
            let refused = read(&bytes, PREFIX, &config).unwrap_err();
            let told =
                format!("tensor \"bn1.{tensor}\" holds {bad:?} in channel 1, expected {expected}");
            assert_eq!(refused.to_string(), told);
        }
    }
    // A variance of −0 is 0.
    let zero = state(|_, running| running.variance[2] = -0.0);
    let bytes = zero.to_safetensors(PREFIX).unwrap();
    assert_eq!(read(&bytes, PREFIX, &config).unwrap(), zero);
}

/// A run whose statistics went to NaN can be saved and taken up again from memory; its file is refused by channel.
#[test]
fn training_that_went_to_nan() {
    let gpu = gpu();
    let config = Config::pytorch().with_non_finite(NonFinite::Propagate);
    let mut layer = BatchNorm::new(&gpu, 3, config).unwrap();
    let x = [1.0, 2.0, f32::NAN, 3.0, 4.0, 5.0];
    let x = Tensor::upload(&gpu, &[2, 3], &x).unwrap();
    layer.forward(&x, Mode::Train).unwrap();

    let went = layer.state_blocking().unwrap();
    let bytes = layer.to_safetensors_blocking(PREFIX).unwrap();
    let refused = BatchNorm::from_safetensors(&gpu, 3, config, &bytes, PREFIX).unwrap_err();
    let told = "tensor \"bn1.running_mean\" holds NaN in channel 2, expected a finite mean";
    assert_eq!(refused.to_string(), told);

    let again = BatchNorm::with_state(&gpu, 3, config, &went).unwrap();
    let running = again.state_blocking().unwrap().running.unwrap();
    assert!(running.mean[2].is_nan() && running.variance[2].is_nan());
    assert!(running.mean[..2].iter().all(|v| v.is_finite()));
}

/// A negative variance that the host can see is an error with its channel, in memory as in a file.
#[test]
fn negative_in_memory() {
    let gpu = gpu();
    let config = Config::pytorch();
    let negative = state(|_, running| running.variance[2] = -1e-3);
    let told = "tensor \"running_var\" holds -0.001 in channel 2, expected a variance of at least 0, or one that eps brings above 0";
    let refused = BatchNorm::with_state(&gpu, 3, config, &negative).unwrap_err();
    assert_eq!(refused.to_string(), told);
    let mut layer = BatchNorm::new(&gpu, 3, config).unwrap();
    assert_eq!(layer.load(&negative).unwrap_err().to_string(), told);
}

/// A prefix of no layer gave a state of nothing, which a layer without parameters took.
#[test]
fn prefix_of_nothing() {
    let bytes = state(|_, _| {}).to_safetensors(PREFIX).unwrap();
    for prefix in ["bn2.", "bn1", "", "bn1.running_mean."] {
        let refused = read(&bytes, prefix, &Config::pytorch()).unwrap_err();
        let expected = StateError::Prefix {
            prefix: prefix.to_owned(),
        };
        assert_eq!(refused, expected);
        assert!(refused.to_string().contains(&format!("{prefix:?}")));
    }
    // One tensor is a layer's; which others have to be there is the layer's to say.
    let only_bias = LayerState::new(3, &Config::pytorch().with_affine(Affine::Bias));
    let mut only_bias = only_bias.unwrap();
    only_bias.running = None;
    let bytes = only_bias.to_safetensors(PREFIX).unwrap();
    assert_eq!(read(&bytes, PREFIX, &Config::pytorch()).unwrap(), only_bias);
    // A layer that holds nothing reads nothing.
    let bare = Config::pytorch()
        .with_affine(Affine::None)
        .without_running();
    let nothing = LayerState::new(3, &bare).unwrap();
    let bytes = nothing.to_safetensors(PREFIX).unwrap();
    assert_eq!(read(&bytes, PREFIX, &bare).unwrap(), nothing);
}

/// A state of unequal lengths was written, and no layer could read the file.
#[test]
fn unequal_lengths_in_a_file() {
    type Change = fn(&mut LayerState, &mut RunningStatistics);
    let cases: [(&str, Change); 4] = [
        ("bias", |state, _| state.bias = Some(vec![0.0; 4])),
        ("running_mean", |_, running| running.mean.push(0.0)),
        ("running_var", |_, running| running.variance.push(1.0)),
        ("batches", |_, running| running.batches.push(0)),
    ];
    for (tensor, change) in cases {
        let refused = state(change).to_safetensors(PREFIX).unwrap_err();
        let told = format!("tensor \"bn1.{tensor}\" has shape [4], expected [3]");
        assert_eq!(refused.to_string(), told);
    }
    let good = state(|_, _| {});
    let other = state(|state, _| state.weight = Some(vec![1.0; 2]));
    let refused = LayerState::all_to_safetensors(&[("a.", &good), ("b.", &other)]).unwrap_err();
    let told = "tensor \"b.bias\" has shape [3], expected [2]";
    assert_eq!(refused.to_string(), told);
}

/// Vectors of 3, 2 and 3 values became 8 values of rows, which the device read as other statistics.
#[test]
fn unequal_rows() {
    let mut running = RunningStatistics::new(3).unwrap();
    assert_eq!(running.to_rows().unwrap().len(), 9);
    running.variance.pop();
    let short = ShapeError::Length {
        tensor: "running_var",
        got: 2,
        expected: 3,
    };
    assert_eq!(running.to_rows().unwrap_err(), short);
    running.variance.push(1.0);
    running.batches.push(1);
    let long = ShapeError::Length {
        tensor: "batches",
        got: 4,
        expected: 3,
    };
    assert_eq!(running.to_rows().unwrap_err(), long);

    let mut saved = SavedStatistics::from_rows(&[0.0; 10]).unwrap();
    saved.inv_std.pop();
    let short = ShapeError::Length {
        tensor: "inv_std",
        got: 1,
        expected: 2,
    };
    assert_eq!(saved.to_rows().unwrap_err(), short);

    // The layer refuses them too, and stays as it was.
    let gpu = gpu();
    let mut layer = BatchNorm::new(&gpu, 3, Config::pytorch()).unwrap();
    let before = layer.state_blocking().unwrap();
    let unequal = state(|_, running| running.batches.push(1));
    let refused = layer.load(&unequal).unwrap_err();
    assert!(
        matches!(&refused, Error::State(StateError::Shape { name, .. }) if name == "batches"),
        "{refused}"
    );
    assert_eq!(layer.state_blocking().unwrap(), before);
}
