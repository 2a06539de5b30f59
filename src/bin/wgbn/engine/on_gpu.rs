//! Forward and backward on an adapter: tensors go up and come back as they are stored.

use std::time::Instant;

use wgpu_batchnorm::{BatchNorm, Gpu, HostGradients, Mode, Tensor};

use super::{BackwardResult, ForwardResult, Job};
use crate::failure::Failure;
use crate::stored::{Stored, widened};

/// Waits until the device is idle; a fault shows at the next readback.
pub fn wait(gpu: &Gpu) {
    let _ = gpu
        .device()
        .poll(wgpu_batchnorm::wgpu::PollType::wait_indefinitely());
}

/// As it is stored.
pub fn upload(gpu: &Gpu, shape: &[usize], tensor: Stored<'_>) -> Result<Tensor, Failure> {
    let uploaded = Tensor::upload_bytes(gpu, shape, tensor.element, tensor.bytes);
    uploaded.map_err(Failure::from)
}

/// As it is stored, and widened.
fn read(tensor: &Tensor) -> Result<(Vec<u8>, Vec<f32>), Failure> {
    let bytes = tensor.read_bytes_blocking()?;
    let values = widened(tensor.element(), &bytes);
    Ok((bytes, values))
}

fn layer(gpu: &Gpu, job: &Job<'_>) -> Result<(BatchNorm, Tensor), Failure> {
    let layer = BatchNorm::with_state(gpu, job.config, job.view.channels, job.state)?;
    let x = upload(gpu, job.shape, job.x)?;
    wait(gpu);
    Ok((layer, x))
}

pub fn forward(gpu: &Gpu, job: &Job<'_>, mode: Mode) -> Result<ForwardResult, Failure> {
    let (mut layer, x) = layer(gpu, job)?;
    let start = Instant::now();
    let forward = layer.forward_blocking(&x, mode)?;
    wait(gpu);
    let time = start.elapsed();
    let (stored, y) = read(&forward.y)?;
    let mut result = ForwardResult {
        y,
        stored,
        saved: None,
        running: None,
        time,
    };
    if mode == Mode::Train {
        result.saved = forward.saved.read_blocking()?;
        result.running = layer.state_blocking()?.running;
    }
    Ok(result)
}

pub fn backward(
    gpu: &Gpu,
    job: &Job<'_>,
    dy: Stored<'_>,
    mode: Mode,
) -> Result<BackwardResult, Failure> {
    let (mut layer, x) = layer(gpu, job)?;
    let dy = upload(gpu, job.shape, dy)?;
    let forward = layer.forward_blocking(&x, mode)?;
    wait(gpu);
    let start = Instant::now();
    let gradients = layer.backward_blocking(&x, &dy, forward.saved)?;
    wait(gpu);
    let time = start.elapsed();
    let (stored, dx) = match &gradients.dx {
        Some(dx) => read(dx)?,
        None => (vec![], vec![]),
    };
    Ok(BackwardResult {
        gradients: HostGradients {
            dx,
            dweight: gradients.dweight_blocking()?,
            dbias: gradients.dbias_blocking()?,
        },
        stored,
        time,
    })
}
