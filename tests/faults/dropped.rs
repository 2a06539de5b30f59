//! Futures that nobody waits for to the end.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use wgpu_batchnorm::{BatchNorm, Config, Gpu, Mode, checked, wgpu};

use crate::support::{SHAPE, assert_works, live, normals, upload};
use testkit::gpu::counted;

#[test]
fn never_begun() {
    let (instance, gpu) = counted();
    let mut layer = BatchNorm::new(&gpu, 3, Config::pytorch()).unwrap();
    let x = upload(&gpu, &SHAPE, 1);
    let forward = layer.forward(&x, Mode::Train).unwrap();
    let before = (live(&instance, &gpu), layer.state_blocking().unwrap());
    drop(checked::forward(&mut layer, &x, Mode::Train));
    drop(checked::forward(&mut layer, &x, Mode::Eval));
    drop(checked::infer(&layer, &x));
    drop(checked::backward(&layer, &x, &forward.y, &forward.saved));
    drop(gpu.check());
    drop(layer.state());
    drop(layer.to_safetensors(""));
    drop(forward.saved.read());
    drop(forward.y.read());
    let after = (live(&instance, &gpu), layer.state_blocking().unwrap());
    assert_eq!(after, before);
    let gradients = layer.backward(&x, &forward.y, &forward.saved);
    gradients.unwrap();
    assert_works(&gpu);
}

/// Polls the device as another part of a program might, so that it is here that the callback of a
/// readback is called, and late, because of one before it that takes its time.
fn poll_in_the_way(gpu: &Gpu, stop: &AtomicBool) {
    let buffer = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 4,
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    while !stop.load(Ordering::Relaxed) {
        let slow = |_| std::thread::sleep(Duration::from_micros(200));
        buffer.slice(..).map_async(wgpu::MapMode::Read, slow);
        gpu.device().poll(wgpu::PollType::Poll).unwrap();
        buffer.unmap();
    }
}

#[test]
fn dropped_while_waiting() {
    /// Who calls a callback is a race, which the other thread wins once in 5 to 100 times.
    const ENOUGH: usize = 20;
    let (instance, gpu) = counted();
    let values = normals(&SHAPE, 1);
    let x = upload(&gpu, &SHAPE, 1);
    assert_works(&gpu);
    let before = live(&instance, &gpu);
    let stop = AtomicBool::new(false);
    let (mut dropped, mut done) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| poll_in_the_way(&gpu, &stop));
        let start = Instant::now();
        while dropped < ENOUGH && start.elapsed() < Duration::from_secs(60) {
            let mut read = Box::pin(x.read());
            match read.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Pending => dropped += 1,
                Poll::Ready(read) => {
                    assert_eq!(read.unwrap(), values);
                    done += 1;
                }
            }
            drop(read);
            // Waited for, the next one is right.
            assert_eq!(x.read_blocking().unwrap(), values);
        }
        stop.store(true, Ordering::Relaxed);
    });
    println!("{dropped} futures were dropped while waiting, {done} were done at once");
    assert!(dropped > 0, "no future was ever pending");
    assert_eq!(live(&instance, &gpu), before);
    assert_works(&gpu);
}
