//! A layer's state in and out of safetensors.

mod refusals;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use wgpu_batchnorm::check::FORWARD_BOUND;
use wgpu_batchnorm::checked::Checked;
use wgpu_batchnorm::{Affine, BatchNorm, Config, LayerState, Mode, Momentum};

use crate::support::{bits, ordinary, read, upload, worst};
use testkit::golden::Golden;
use testkit::gpu::gpu;

const PREFIX: &str = "layer1.0.bn1.";
const SHAPE: [usize; 3] = [5, 3, 7];

/// A tensor for a file: name, element type, shape, bytes.
#[derive(Clone)]
struct Entry {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

fn f32s(name: &str, values: &[f32]) -> Entry {
    Entry {
        name: format!("{PREFIX}{name}"),
        dtype: Dtype::F32,
        shape: vec![values.len()],
        bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    }
}

fn words(name: &str, dtype: Dtype, words: &[u16]) -> Entry {
    Entry {
        dtype,
        shape: vec![words.len()],
        bytes: words.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ..f32s(name, &[])
    }
}

fn tracked(count: i64) -> Entry {
    Entry {
        dtype: Dtype::I64,
        shape: vec![],
        bytes: count.to_le_bytes().to_vec(),
        ..f32s("num_batches_tracked", &[])
    }
}

/// What PyTorch writes for a layer of three channels.
fn checkpoint() -> Vec<Entry> {
    vec![
        f32s("weight", &[1.5, -0.5, 0.25]),
        f32s("bias", &[0.1, 0.2, 0.3]),
        f32s("running_mean", &[0.0, 1.0, -1.0]),
        f32s("running_var", &[1.0, 0.0, 4.0]),
        tracked(12),
    ]
}

fn file(entries: &[Entry]) -> Vec<u8> {
    let tensors = entries.iter().map(|entry| {
        let view = TensorView::new(entry.dtype, entry.shape.clone(), &entry.bytes);
        (entry.name.clone(), view.unwrap())
    });
    safetensors::serialize(tensors, None).unwrap()
}

fn parse(bytes: &[u8], config: &Config) -> LayerState {
    LayerState::from_safetensors(bytes, PREFIX, 3, config).unwrap()
}

#[test]
fn a_layer_survives_the_round_trip() {
    let gpu = gpu();
    let x = upload(&gpu, &SHAPE, &ordinary(&SHAPE, 1));
    let base = Config::pytorch();
    for config in [
        base,
        base.with_affine(Affine::Weight),
        base.with_affine(Affine::Bias),
        base.with_affine(Affine::None),
        base.with_momentum(Momentum::Cumulative),
        base.without_running(),
    ] {
        let mut layer = BatchNorm::new(&gpu, 3, config).unwrap();
        let affine = [1.5, -0.5, 0.25, 0.1, 0.2, 0.3];
        layer.affine().write(&affine).unwrap();
        for _ in 0..3 {
            layer.forward(&x, Mode::Train).unwrap();
        }
        let bytes = pollster::block_on(layer.to_safetensors(PREFIX)).unwrap();
        let mut again = BatchNorm::from_safetensors(&gpu, 3, config, &bytes, PREFIX).unwrap();
        let state = layer.state_blocking().unwrap();
        assert_eq!(again.state_blocking().unwrap(), state, "{config:?}");
        assert_eq!(again.num_batches_tracked(), layer.num_batches_tracked());
        for mode in [Mode::Eval, Mode::Train, Mode::Eval] {
            let y = [&mut layer, &mut again]
                .map(|layer| bits(&read(&layer.forward(&x, mode).unwrap().y)));
            assert_eq!(y[0], y[1], "{config:?} {mode:?}");
        }
        let states = [&again, &layer].map(|layer| layer.state_blocking().unwrap());
        assert_eq!(states[0], states[1]);
    }
}

#[test]
fn names_and_types_are_pytorchs() {
    let config = Config::pytorch();
    let state = parse(&file(&checkpoint()), &config);
    let bytes = state.to_safetensors(PREFIX).unwrap();
    let written = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(written.len(), 5);
    for entry in checkpoint() {
        let tensor = written.tensor(&entry.name).unwrap();
        assert_eq!(tensor.dtype(), entry.dtype, "{}", entry.name);
        assert_eq!(tensor.shape(), entry.shape, "{}", entry.name);
        assert_eq!(tensor.data(), entry.bytes, "{}", entry.name);
    }
    assert_eq!(parse(&bytes, &config), state);
    assert_eq!(state.num_batches_tracked, 12);
    assert_eq!(state.running.unwrap().batches, [12; 3]);
}

#[test]
fn half_precision_is_widened() {
    let f16 = [0x3c00, 0xc100, 0x0001];
    let bf16 = [0x3f80, 0xc020, 0x4049];
    let entries = [
        words("weight", Dtype::F16, &f16),
        words("bias", Dtype::BF16, &bf16),
        words("running_mean", Dtype::F16, &[0x7bff, 0x8000, 0x3555]),
        words("running_var", Dtype::BF16, &[0x3e80, 0x0080, 0x4300]),
        tracked(3),
    ];
    let state = parse(&file(&entries), &Config::pytorch());
    assert_eq!(state.weight.unwrap(), [1.0, -2.5, 2f32.powi(-24)]);
    assert_eq!(state.bias.unwrap(), [1.0, -2.5, 3.140625]);
    let running = state.running.unwrap();
    assert_eq!(running.mean, [65504.0, -0.0, 0.33325195]);
    assert_eq!(running.variance, [0.25, f32::MIN_POSITIVE, 128.0]);
    assert_eq!(running.batches, [3; 3]);
}

#[test]
fn a_checkpoint_without_a_count_has_counted_none() {
    let state = parse(&file(&checkpoint()[..4]), &Config::pytorch());
    assert_eq!(state.num_batches_tracked, 0);
    assert_eq!(state.running.unwrap().batches, [0; 3]);
}

#[test]
fn a_prefix_picks_its_layer() {
    let mut entries = checkpoint();
    for mut entry in checkpoint() {
        entry.name = entry.name.replace("bn1", "bn2");
        if entry.dtype == Dtype::F32 {
            entry.bytes.iter_mut().for_each(|byte| *byte = 0);
        }
        entries.push(entry);
    }
    let bytes = file(&entries);
    let config = Config::pytorch();
    assert_eq!(parse(&bytes, &config), parse(&file(&checkpoint()), &config));
    let second = LayerState::from_safetensors(&bytes, "layer1.0.bn2.", 3, &config).unwrap();
    assert_eq!(second.weight.unwrap(), [0.0; 3]);
}

/// PyTorch's own tensors, under a checkpoint's names and between another layer's.
#[test]
fn a_pytorch_checkpoint_evaluates_as_pytorch_does() {
    let gpu = gpu();
    for name in [
        "pytorch_nchw_eval",
        "pytorch_nhwc_eval",
        "pytorch_nc_eval",
        "pytorch_ncl_eval",
        "pytorch_nchw_no_affine_eval",
    ] {
        let golden = Golden::named(name);
        let case = golden.case();
        let bytes = golden.checkpoint(PREFIX);
        let channels = case.view.channels();
        let layer = BatchNorm::from_safetensors(&gpu, channels, case.config, &bytes, PREFIX);
        let mut layer = Checked::new(layer.unwrap());
        let x = upload(&gpu, &case.shape, &case.x);
        let y = read(&layer.forward_blocking(&x, Mode::Eval).unwrap().y);
        let truth = golden.wide("truth.y").unwrap();
        let largest = truth.iter().fold(0.0, |max: f64, v| max.max(v.abs()));
        let error = worst(&y, &truth, |_| largest);
        assert!(error <= FORWARD_BOUND, "{name}: {error:e}");
    }
}

#[test]
fn a_pytorch_checkpoint_trains_on() {
    let gpu = gpu();
    for name in ["pytorch_nchw_train", "pytorch_ncl_cumulative_train"] {
        let golden = Golden::named(name);
        let case = golden.case();
        let bytes = golden.checkpoint(PREFIX);
        let channels = case.view.channels();
        let layer = BatchNorm::from_safetensors(&gpu, channels, case.config, &bytes, PREFIX);
        let mut layer = layer.unwrap();
        let x = upload(&gpu, &case.shape, &case.x);
        layer.forward(&x, Mode::Train).unwrap();
        let tracked = golden.wide("out.num_batches_tracked").unwrap()[0];
        assert_eq!(layer.num_batches_tracked() as f64, tracked, "{name}");
        let running = layer.state_blocking().unwrap().running.unwrap();
        for (got, tensor) in [(running.mean, "mean"), (running.variance, "var")] {
            let truth = golden.wide(&format!("truth.running_{tensor}")).unwrap();
            let largest = truth.iter().fold(0.0, |max: f64, v| max.max(v.abs()));
            let error = worst(&got, &truth, |_| largest);
            assert!(error <= FORWARD_BOUND, "{name} {tensor}: {error:e}");
        }
    }
}
