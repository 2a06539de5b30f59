//! A device that is lost before, during and after a pass, and while a result is mapped.

use std::sync::mpsc;
use std::time::Duration;

use wgpu_batchnorm::checked::{self, Checked};
use wgpu_batchnorm::error::RunError;
use wgpu_batchnorm::functional::moments;
use wgpu_batchnorm::{BatchNorm, Config, Error, Mode, Tensor, TrainBuffers, wgpu};

use crate::support::{SHAPE, assert_works, both, normals, upload};
use testkit::gpu::own_gpu;

/// Panics unless `result` says that the device is lost.
fn assert_lost<T: std::fmt::Debug>(result: Result<T, impl Into<Error>>) {
    match result.map_err(Into::into) {
        Err(Error::Run(RunError::DeviceLost { .. })) => {}
        other => panic!("expected a lost device, got {other:?}"),
    }
}

#[test]
fn destroyed_before_a_pass() {
    for gone in both() {
        let mut layer = BatchNorm::new(&gone, 3, Config::pytorch()).unwrap();
        let x = upload(&gone, &SHAPE, 1);
        gone.device().destroy();
        for mode in [Mode::Train, Mode::Eval] {
            assert_lost(layer.forward(&x, mode));
            assert_lost(checked::forward_blocking(&mut layer, &x, mode));
        }
        assert_lost(layer.infer(&x));
        assert_lost(checked::infer_blocking(&layer, &x));
        assert_lost(moments(&x, &[0], false).and_then(|m| m.read_blocking()));
        assert_lost(checked::moments_blocking(&x, &[0], false));
        assert_lost(gone.check_blocking());
        assert_lost(layer.state_blocking());
        assert_eq!(layer.num_batches_tracked(), 0);
        // What cannot tell does not panic.
        layer.affine().write(&[1.0; 6]).unwrap();
        layer.reset_running_stats().unwrap();
        let more = Tensor::upload(&gone, &SHAPE, &normals(&SHAPE, 2));
        assert_lost(more.and_then(|more| Ok(more.read_blocking()?)));
    }
    assert_works(&own_gpu());
}

#[test]
fn destroyed_between_recording_and_submission() {
    let gone = own_gpu();
    let plan = gone.context().plan(&Config::pytorch(), &SHAPE).unwrap();
    let x = upload(&gone, &SHAPE, 1);
    let empty = |shape: &[usize]| Tensor::empty(&gone, shape).unwrap();
    let (y, affine, running, saved) = (
        empty(&SHAPE),
        empty(&[2, 3]),
        empty(&[3, 3]),
        empty(&[5, 3]),
    );
    let workspace = empty(&[plan.workspace_bytes() as usize / 4]);
    let buffers = TrainBuffers::new(x.slice(), saved.slice(), workspace.slice())
        .with_y(y.slice())
        .with_affine(affine.slice())
        .with_running(running.slice());
    let train = plan.bind_train(&buffers).unwrap();
    let mut encoder = gone.device().create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    train.encode(&mut pass);
    gone.device().destroy();
    train.encode(&mut pass);
    drop(pass);
    gone.queue().submit([encoder.finish()]);
    assert_lost(y.read_blocking());
    assert_lost(plan.bind_train(&buffers).map(drop));
    assert_works(&own_gpu());
}

/// Enough work that it is still under way when the device goes.
const LARGE: [usize; 3] = [64, 16, 4096];

#[test]
fn destroyed_during_a_pass() {
    for gone in both() {
        let mut layer = BatchNorm::new(&gone, 16, Config::pytorch()).unwrap();
        let [x, dy] = [3, 4].map(|seed| upload(&gone, &LARGE, seed));
        let forward = layer.forward(&x, Mode::Train).unwrap();
        gone.device().destroy();
        assert_lost(forward.y.read_blocking());
        assert_lost(forward.saved.read_blocking());
        assert_lost(layer.backward(&x, &dy, &forward.saved));
        assert_lost(layer.state_blocking());
    }
    assert_works(&own_gpu());
}

#[test]
fn destroyed_after_a_pass() {
    for gone in both() {
        let mut layer = Checked::new(BatchNorm::new(&gone, 3, Config::pytorch()).unwrap());
        let x = upload(&gone, &SHAPE, 1);
        let y = layer.forward_blocking(&x, Mode::Train).unwrap().y;
        let before = layer.layer().state_blocking().unwrap();
        gone.device().destroy();
        assert_lost(y.read_blocking());
        assert_lost(layer.forward_blocking(&x, Mode::Train));
        // What was read goes on, on a new device.
        let fresh = own_gpu();
        let config = Config::pytorch();
        let mut layer = Checked::new(BatchNorm::with_state(&fresh, 3, config, &before).unwrap());
        let x = upload(&fresh, &SHAPE, 1);
        layer.forward_blocking(&x, Mode::Train).unwrap();
        assert_eq!(layer.layer().num_batches_tracked(), 2);
    }
}

/// The first callback of a readback's own poll destroys the device: the readback's mapping is next.
#[test]
fn lost_while_mapping() {
    for gone in both() {
        let x = upload(&gone, &LARGE, 4);
        let first = gone.device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 4,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let device = gone.device().clone();
        let (sender, receiver) = mpsc::channel();
        let destroy = move |_| {
            device.destroy();
            sender.send(()).unwrap();
        };
        first.slice(..).map_async(wgpu::MapMode::Read, destroy);
        let got = x.read_blocking();
        receiver
            .try_recv()
            .expect("destroyed by the readback's own poll");
        println!("lost while mapping: {:?}", got.as_ref().map(Vec::len));
        // What was mapped already is whole, or there is nothing.
        match got {
            Ok(values) => assert_eq!(values, normals(&LARGE, 4)),
            lost => assert_lost(lost),
        }
        assert_lost(x.read_blocking());
    }
    assert_works(&own_gpu());
}

/// At whatever point of a readback another thread does it.
#[test]
fn lost_by_another_thread() {
    let expected = normals(&LARGE, 5);
    for round in 0..8 {
        for gone in both() {
            let x = Tensor::upload(&gone, &LARGE, &expected).unwrap();
            x.read_blocking().unwrap();
            let device = gone.device().clone();
            let other = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(round * 3));
                device.destroy();
            });
            let lost = loop {
                match x.read_blocking() {
                    Ok(values) => assert_eq!(values, expected),
                    lost => break lost,
                }
            };
            assert_lost(lost);
            assert_lost(x.read_blocking());
            other.join().unwrap();
        }
    }
    assert_works(&own_gpu());
}
