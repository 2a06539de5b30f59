//! Files that are no state of the layer: each with its error, and the layer as it was.

use safetensors::tensor::Dtype;
use wgpu_batchnorm::error::StateError;
use wgpu_batchnorm::{Affine, BatchNorm, Config, Error, LayerState, Momentum};

use super::{Entry, PREFIX, checkpoint, f32s, file, tracked, words};
use testkit::gpu::gpu;

/// As a program goes about it that exchanges the state of a layer it has.
fn load(layer: &mut BatchNorm, bytes: &[u8]) -> Result<(), Error> {
    let state = LayerState::from_safetensors(bytes, PREFIX, 3, layer.config())?;
    layer.load(&state)
}

fn without(name: &str) -> Vec<Entry> {
    let mut entries = checkpoint();
    entries.retain(|entry| entry.name != format!("{PREFIX}{name}"));
    entries
}

fn with(entry: Entry) -> Vec<Entry> {
    let mut entries = checkpoint();
    entries.retain(|other| other.name != entry.name);
    entries.push(entry);
    entries
}

/// The error that a layer of `config` meets in this file; the layer stays as it was.
fn refusal(config: Config, bytes: &[u8]) -> StateError {
    let gpu = gpu();
    let mut layer = BatchNorm::new(&gpu, 3, config).unwrap();
    layer
        .affine()
        .write(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
        .unwrap();
    let before = layer.state_blocking().unwrap();
    let refused = load(&mut layer, bytes);
    let Err(Error::State(refused)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(layer.state_blocking().unwrap(), before);

    // A layer made from the file refuses it too.
    let made = BatchNorm::from_safetensors(&gpu, 3, config, bytes, PREFIX);
    assert_refused!(made, Error::State(_));

    // A good file loads after it.
    let good = LayerState::new(3, &config)
        .unwrap()
        .to_safetensors(PREFIX)
        .unwrap();
    load(&mut layer, &good).unwrap();
    refused
}

#[test]
fn broken_files() {
    let config = Config::pytorch();
    let good = file(&checkpoint());
    let mut huge = good.clone();
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let mut longer = good.clone();
    longer[..8].copy_from_slice(&(good.len() as u64).to_le_bytes());
    for bytes in [
        &good[..good.len() - 1],
        &good[..good.len() / 2],
        &good[..8],
        &good[..3],
        &[],
        &huge,
        &longer,
        b"this is no safetensors file, only a line of text",
        &[0xff; 1000],
    ] {
        let refused = refusal(config, bytes);
        assert!(matches!(refused, StateError::Format { .. }), "{refused}");
    }
}

/// Whatever the bytes are, there is an answer.
#[test]
fn no_file_panics() {
    let config = Config::pytorch();
    let good = file(&checkpoint());
    for len in 0..good.len() {
        let parsed = LayerState::from_safetensors(&good[..len], PREFIX, 3, &config);
        assert_refused!(parsed, StateError::Format { .. });
    }
    for at in 0..good.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = good.clone();
            bytes[at] ^= flip;
            if let Ok(state) = LayerState::from_safetensors(&bytes, PREFIX, 3, &config) {
                let _ = state.validate(3, &config);
            }
        }
    }
}

#[test]
fn missing_tensors() {
    let config = Config::pytorch();
    for (name, missing) in [
        ("weight", "weight"),
        ("bias", "bias"),
        ("running_mean", "running_mean"),
        ("running_var", "running_var"),
    ] {
        let refused = refusal(config, &file(&without(name)));
        assert!(
            matches!(&refused, StateError::Missing { name } if name.ends_with(missing)),
            "{refused}"
        );
    }
    let cumulative = config.with_momentum(Momentum::Cumulative);
    let refused = refusal(cumulative, &file(&without("num_batches_tracked")));
    let name = format!("{PREFIX}num_batches_tracked");
    assert_eq!(refused, StateError::Missing { name });
}

/// A prefix of no layer in the file is the likeliest mistake: it is told.
#[test]
fn a_wrong_prefix_is_told() {
    let gpu = gpu();
    let config = Config::pytorch();
    let bytes = file(&checkpoint());
    let refused = BatchNorm::from_safetensors(&gpu, 3, config, &bytes, "layer1.0.bn3.");
    let text = refused.unwrap_err().to_string();
    assert!(text.contains(r#"the prefix "layer1.0.bn3.""#), "{text}");
}

#[test]
fn tensors_that_the_layer_lacks() {
    let config = Config::pytorch();
    let bytes = file(&checkpoint());
    for (config, name) in [
        (config.with_affine(Affine::Bias), "weight"),
        (config.with_affine(Affine::Weight), "bias"),
        (config.without_running(), "running_mean"),
    ] {
        let refused = refusal(config, &bytes);
        let expected = StateError::Unexpected {
            name: name.to_owned(),
        };
        assert_eq!(refused, expected);
    }
}

#[test]
fn tensors_of_the_wrong_kind() {
    let config = Config::pytorch();
    let of = |dtype, shape: &[usize], bytes: usize, name| Entry {
        dtype,
        shape: shape.to_vec(),
        bytes: vec![0; bytes],
        ..f32s(name, &[])
    };
    for (entry, got) in [
        (of(Dtype::C64, &[3], 24, "weight"), "C64"),
        (of(Dtype::BOOL, &[3], 3, "running_var"), "BOOL"),
        (of(Dtype::BOOL, &[], 1, "num_batches_tracked"), "BOOL"),
    ] {
        let name = entry.name.clone();
        let refused = refusal(config, &file(&with(entry)));
        assert!(
            matches!(&refused, StateError::Dtype { name: n, got: g, .. } if *n == name && g == got),
            "{refused}"
        );
    }
}

#[test]
fn tensors_of_the_wrong_shape() {
    let config = Config::pytorch();
    let column = Entry {
        shape: vec![3, 1],
        ..f32s("running_mean", &[0.0; 3])
    };
    let list = Entry {
        shape: vec![2],
        bytes: vec![0; 16],
        ..tracked(1)
    };
    for entry in [
        f32s("weight", &[1.0; 4]),
        f32s("bias", &[]),
        column,
        list,
        f32s("running_var", &[1.0; 2]),
    ] {
        let (name, got) = (entry.name.clone(), entry.shape.clone());
        let refused = refusal(config, &file(&with(entry)));
        assert!(
            matches!(&refused, StateError::Shape { name: n, got: g, .. } if *n == name && *g == got),
            "{refused}"
        );
    }
}

#[test]
fn values_that_cannot_be() {
    let config = Config::pytorch();
    for (entry, index) in [
        (f32s("running_var", &[1.0, 2.0, -1e-3]), 2),
        (words("running_var", Dtype::F16, &[0xbc00, 0, 0]), 0),
    ] {
        let name = entry.name.clone();
        let refused = refusal(config, &file(&with(entry)));
        assert!(
            matches!(&refused, StateError::Channel { name: n, channel, .. } if *n == name && *channel == index),
            "{refused}"
        );
    }
    for entry in [tracked(-1), tracked(i64::MIN)] {
        let name = entry.name.clone();
        let refused = refusal(config, &file(&with(entry)));
        assert!(
            matches!(&refused, StateError::Value { name: n, .. } if *n == name),
            "{refused}"
        );
    }
}
