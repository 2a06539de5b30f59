//! What these tests share.

use wgpu_batchnorm::checked::Checked;
use wgpu_batchnorm::{BatchNorm, Config, Gpu, Mode, Tensor, wgpu};

use testkit::data::Random;
use testkit::gpu::{limited, own_gpu};

pub const SHAPE: [usize; 3] = [4, 3, 5];

pub fn normals(shape: &[usize], seed: u64) -> Vec<f32> {
    Random::new(seed).normals(shape.iter().product(), 0.3, 1.5)
}

pub fn upload(gpu: &Gpu, shape: &[usize], seed: u64) -> Tensor {
    Tensor::upload(gpu, shape, &normals(shape, seed)).unwrap()
}

/// A device of the library's own, and one of the caller's: wgpu panics on what that one reports,
/// unless it was caught before.
pub fn both() -> [Gpu; 2] {
    [own_gpu(), limited(|_| wgpu::Limits::default())]
}

/// A step of training that is compared with the reference.
pub fn assert_works(gpu: &Gpu) {
    let mut layer = Checked::new(BatchNorm::new(gpu, 3, Config::pytorch()).unwrap());
    let (x, dy) = (upload(gpu, &SHAPE, 1), upload(gpu, &SHAPE, 2));
    let saved = layer.forward_blocking(&x, Mode::Train).unwrap().saved;
    layer.backward_blocking(&x, &dy, &saved).unwrap();
    assert_eq!(layer.layer().num_batches_tracked(), 1);
}

/// Buffers and bind groups that there are, after all work is done.
pub fn live(instance: &wgpu::Instance, gpu: &Gpu) -> [usize; 2] {
    let wait = wgpu::PollType::wait_indefinitely();
    gpu.device().poll(wait).unwrap();
    let hub = instance.generate_report().expect("not a browser").hub;
    [&hub.buffers, &hub.bind_groups].map(|of| of.num_allocated)
}
