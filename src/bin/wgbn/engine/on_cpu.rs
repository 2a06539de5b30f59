//! Forward and backward on the CPU path, which computes in f32 whatever is stored.

use std::time::Instant;

use wgpu_batchnorm::{Element, HostGradients, Mode, cpu};

use super::{BackwardResult, ForwardResult, Job};
use crate::failure::Failure;
use crate::stored::{Stored, rounded, widened};

/// Rounds to `element` what the CPU path computed in f32: as it is stored, and widened again.
fn narrowed(element: Element, values: Vec<f32>) -> (Vec<u8>, Vec<f32>) {
    let stored = rounded(element, &values);
    match element {
        Element::F32 => (stored, values),
        Element::F16 | Element::Bf16 => {
            let values = widened(element, &stored);
            (stored, values)
        }
    }
}

pub fn forward(job: &Job<'_>, mode: Mode) -> Result<ForwardResult, Failure> {
    let Job { config, view, .. } = *job;
    let Stored {
        element, values: x, ..
    } = job.x;
    let mut y = vec![0.0; x.len()];
    let parameters = job.parameters();
    if mode == Mode::Eval {
        let running = job.running()?;
        let (mean, variance) = (&running.mean, &running.variance);
        let start = Instant::now();
        cpu::inference(&view, x, parameters, mean, variance, config.eps, &mut y);
        let time = start.elapsed();
        let (stored, y) = narrowed(element, y);
        return Ok(ForwardResult {
            y,
            stored,
            saved: None,
            running: None,
            time,
        });
    }
    config.validate_training(&view)?;
    let mut running = job.state.running.clone();
    let start = Instant::now();
    let moving = running.as_mut().zip(config.running);
    let saved = cpu::train_forward(&view, x, parameters, config.eps, moving, &mut y);
    let time = start.elapsed();
    let (stored, y) = narrowed(element, y);
    Ok(ForwardResult {
        y,
        stored,
        saved: Some(saved),
        running,
        time,
    })
}

pub fn backward(job: &Job<'_>, dy: &[f32], mode: Mode) -> Result<BackwardResult, Failure> {
    let Job { config, view, .. } = *job;
    let Stored {
        element, values: x, ..
    } = job.x;
    let weight = job.state.weight.as_deref();
    let mut dx = vec![0.0; x.len()];
    let (time, (dweight, dbias)) = if mode == Mode::Eval {
        let running = job.running()?;
        let (mean, variance) = (&running.mean, &running.variance);
        let start = Instant::now();
        let dx = Some(&mut dx[..]);
        let sums = cpu::backward_frozen(&view, x, dy, mean, variance, weight, config.eps, dx);
        (start.elapsed(), sums)
    } else {
        config.validate_training(&view)?;
        let mut y = vec![0.0; x.len()];
        let saved = cpu::train_forward(&view, x, job.parameters(), config.eps, None, &mut y);
        let start = Instant::now();
        let sums = cpu::backward(&view, x, dy, &saved, weight, Some(&mut dx));
        (start.elapsed(), sums)
    };
    let (stored, dx) = narrowed(element, dx);
    Ok(BackwardResult {
        gradients: HostGradients { dx, dweight, dbias },
        stored,
        time,
    })
}
