//! The command line's readers of `.npy`, `.npz` and `.safetensors`: any bytes are tensors or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgbn::args::{Mode, WeightOptions};
use wgbn::input::{HostTensor, Inputs};
use wgbn::stored;
use wgpu_batchnorm::{Config, Lookup, Momentum, Names};
use wgpu_batchnorm_fuzz::{bounded, npy, safetensors};

fuzz_target!(|input: &[u8]| {
    // Flags, then the file, whole or in parts.
    let [flags, body @ ..] = input else {
        return;
    };
    let set = |bit: u8| flags & (1 << bit) != 0;
    let (whole, named_npy) = (set(0), set(1));
    let file = match (whole, named_npy) {
        (true, _) => body.to_vec(),
        (false, true) => npy(body),
        (false, false) => safetensors(body),
    };
    let mode = if set(2) { Mode::Eval } else { Mode::Train };
    let prefix = set(3).then(|| "bn.".to_owned());
    let lookup = Lookup::default().with_prefix(prefix);
    let momentum = match set(4) {
        true => Momentum::Cumulative,
        false => Momentum::new(0.1),
    };
    let axis = if set(5) { -1 } else { 1 };
    let names = match set(6) {
        true => Names::Auto,
        false => Names::Pytorch,
    };
    let config = Config::pytorch().with_axis(axis).with_momentum(momentum);
    let lookup = lookup.with_names(names);
    // An archive's bytes are deflated by up to 1,032 times, and what they become is held as a file of its own.
    let len = match file.starts_with(b"PK") {
        true => 1032 * file.len(),
        false => file.len(),
    };
    let Ok(inputs) = bounded(len, || Inputs::from_bytes(file, named_npy)) else {
        return;
    };
    // A new layer for an empty batch has as many channels as its header says, up to a limit.
    let channels = match inputs.x.values.is_empty() {
        true => inputs
            .x
            .shape
            .iter()
            .copied()
            .max()
            .unwrap_or(0)
            .min(1 << 20),
        false => 0,
    };
    bounded(len + channels, || {
        fits(&inputs.x);
        inputs.dy.iter().for_each(fits);
        if let Ok(dy) = inputs.upstream() {
            assert_eq!(dy.values.len(), inputs.x.values.len());
        }
        if let Ok(layer) = inputs.layer(&lookup, config, mode) {
            assert_eq!(layer.view.len(), inputs.x.values.len());
            let channels = layer.view.channels();
            layer.state.validate(channels, &layer.config).unwrap();
            let options = WeightOptions {
                length_axis: set(7).then_some(2),
                outside: None,
            };
            if let Ok(Some(weights)) = inputs.weights(axis, &options) {
                assert_eq!(
                    weights.values.len(),
                    weights.shape.iter().product::<usize>()
                );
                let valid = |w: &f32| (0.0..f32::INFINITY).contains(w);
                assert!(weights.values.iter().all(valid));
            }
        }
    });
});

fn fits(tensor: &HostTensor) {
    let len = tensor.shape.iter().product::<usize>();
    assert_eq!(tensor.values.len(), len);
    // As the file has them, and widened without a change: narrowed again they are the same bytes.
    let stored = tensor.stored();
    assert_eq!(
        stored.bytes.len() as u64,
        len as u64 * stored.element.bytes()
    );
    let back = stored::rounded(stored.element, stored.values).unwrap();
    let width = stored.element.bytes() as usize;
    let values = stored.values.iter().zip(stored.bytes.chunks_exact(width));
    for ((value, bytes), back) in values.zip(back.chunks_exact(width)) {
        assert!(value.is_nan() || bytes == back, "{value}");
    }
}
