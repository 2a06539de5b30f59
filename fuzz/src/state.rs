//! `LayerState::from_safetensors`: any bytes are a state or an error, and a state survives being
//! written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgpu_batchnorm::{Config, LayerState, Momentum};
use wgpu_batchnorm_fuzz::{bounded, safetensors};

fuzz_target!(|input: &[u8]| {
    // Flags, channels, then the file, whole or in parts.
    let [flags, channels, body @ ..] = input else {
        return;
    };
    let channels = usize::from(*channels);
    let whole = flags & 1 != 0;
    let prefix = if flags & 2 != 0 { "bn." } else { "" };
    let momentum = match flags & 4 != 0 {
        true => Momentum::Cumulative,
        false => Momentum::new(0.1),
    };
    let config = Config::pytorch().with_momentum(momentum);
    let file = match whole {
        true => body.to_vec(),
        false => safetensors(body),
    };
    let read = || LayerState::from_safetensors(&file, prefix, channels, &config);
    let Ok(state) = bounded(file.len() + 4 * channels, read) else {
        return;
    };
    for tensor in [&state.weight, &state.bias].into_iter().flatten() {
        assert_eq!(tensor.len(), channels);
    }
    let config = config.with_affine(state.affine());
    let config = match &state.running {
        Some(_) => config,
        None => config.without_running(),
    };
    state.validate(channels, &config).unwrap();
    let written = state.to_safetensors(prefix).unwrap();
    let again = LayerState::from_safetensors(&written, prefix, channels, &config).unwrap();
    assert_eq!(bits(&again), bits(&state));
});

fn bits(state: &LayerState) -> Vec<Option<Vec<u32>>> {
    let running = state.running.as_ref();
    let rows = [
        state.weight.as_ref(),
        state.bias.as_ref(),
        running.map(|r| &r.mean),
        running.map(|r| &r.variance),
    ];
    rows.map(|row| row.map(|v| v.iter().map(|v| v.to_bits()).collect()))
        .to_vec()
}
