//! What a device says after the call that caused it has returned, and what a call can know at once.

use std::sync::{Arc, Mutex};

use testkit::gpu::own_gpu;
use wgpu_batchnorm::error::{BindError, RunError};
use wgpu_batchnorm::{BatchNorm, Config, Error, Gpu, Mode, wgpu};

use crate::support::{SHAPE, assert_works, both, upload};

/// Something that wgpu reports to the device's handler alone: nobody watches this call.
fn misuse(gpu: &Gpu) {
    let _ = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: Some("mapped storage"),
        size: 4,
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
}

#[test]
fn told_once_by_the_next_read_or_check() {
    let gpu = own_gpu();
    let mut layer = BatchNorm::new(&gpu, 3, Config::pytorch()).unwrap();
    let x = upload(&gpu, &SHAPE, 1);
    let forward = layer.forward(&x, Mode::Train).unwrap();
    gpu.check_blocking().unwrap();
    let tellers: [&dyn Fn() -> Result<(), RunError>; 3] = [
        &|| gpu.check_blocking(),
        &|| forward.y.read_blocking().map(drop),
        &|| forward.y.read_bytes_blocking().map(drop),
    ];
    for tell in tellers {
        misuse(&gpu);
        // Calls that do not wait have nothing to tell.
        layer.forward(&x, Mode::Train).unwrap();
        let told = tell().unwrap_err();
        assert!(matches!(told, RunError::Device { .. }), "{told}");
        // The last operation before it, by name.
        assert!(told.to_string().contains("training forward"), "{told}");
        tell().unwrap();
    }
    assert_works(&gpu);
}

#[test]
fn a_listener_is_told_instead() {
    let gpu = own_gpu();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let kept = heard.clone();
    gpu.on_error(move |operation, error| {
        kept.lock().unwrap().push((operation, error.to_string()));
    });
    let mut layer = BatchNorm::new(&gpu, 3, Config::pytorch()).unwrap();
    let x = upload(&gpu, &SHAPE, 1);
    let forward = layer.forward(&x, Mode::Eval).unwrap();
    misuse(&gpu);
    layer.backward(&x, &forward.y, &forward.saved).unwrap();
    misuse(&gpu);
    gpu.check_blocking().unwrap();
    forward.y.read_blocking().unwrap();
    let heard = heard.lock().unwrap().clone();
    let names: Vec<_> = heard.iter().map(|(operation, _)| *operation).collect();
    assert_eq!(names, ["batch norm, inference", "batch norm, backward"]);
    assert!(
        heard.iter().all(|(_, error)| error.contains("MAP_READ")),
        "{heard:?}"
    );
}

/// What wgpu says of a submission at once is the call's own error, names it, and moves nothing.
#[test]
fn a_submission_that_is_refused() {
    for gpu in both() {
        let mut layer = BatchNorm::new(&gpu, 3, Config::pytorch()).unwrap();
        let (x, dy) = (upload(&gpu, &SHAPE, 1), upload(&gpu, &SHAPE, 2));
        let mut forward = layer.forward(&x, Mode::Train).unwrap();
        let mut gradients = layer.backward(&x, &dy, &forward.saved).unwrap();
        let before = layer.state_blocking().unwrap();
        x.buffer().destroy();
        let refused = layer.forward_into(&x, Mode::Train, &mut forward);
        let Err(Error::Bind(BindError::Unusable { name: "x", reason })) = refused else {
            panic!("{refused:?}");
        };
        assert!(reason.contains("training forward"), "{reason}");
        let refused = layer.backward_into(&x, &dy, &forward.saved, &mut gradients);
        let Err(Error::Bind(BindError::Unusable { name: "x", reason })) = refused else {
            panic!("{refused:?}");
        };
        assert!(reason.contains("backward"), "{reason}");
        assert!(layer.forward(&x, Mode::Train).is_err());
        let refused = x.write(&[0.0; 60]).unwrap_err();
        assert!(refused.to_string().contains("write"), "{refused}");
        // Told already.
        gpu.check_blocking().unwrap();
        assert_eq!(layer.state_blocking().unwrap(), before);
        assert_works(&gpu);
    }
}
