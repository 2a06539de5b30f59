//! Forward and backward on the CPU path, which computes in f32 whatever is stored.

use std::time::Instant;

use wgpu_batchnorm::check::{self, Report, TrainResult};
use wgpu_batchnorm::error::ShapeError;
use wgpu_batchnorm::{Element, HostGradients, Mode, cpu, functional};

use super::{BackwardResult, ForwardResult, Job, MomentsResult};
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
        cpu::inference(&view, x, parameters, mean, variance, config.eps, &mut y)?;
        let time = start.elapsed();
        let (stored, y) = narrowed(element, y);
        return checked(
            job,
            ForwardResult {
                y,
                stored,
                saved: None,
                running: None,
                report: None,
                time,
            },
        );
    }
    let mut running = job.state.running.clone();
    let start = Instant::now();
    let moving = running.as_mut().zip(config.running);
    let saved = cpu::train_forward(&view, x, parameters, config.eps, moving, &mut y)?;
    let time = start.elapsed();
    let (stored, y) = narrowed(element, y);
    checked(
        job,
        ForwardResult {
            y,
            stored,
            saved: Some(saved),
            running,
            report: None,
            time,
        },
    )
}

fn checked(job: &Job<'_>, mut result: ForwardResult) -> Result<ForwardResult, Failure> {
    result.report = job.check.then(|| judged(job, &result)).transpose()?;
    Ok(result)
}

/// Compares a forward pass with the reference.
fn judged(job: &Job<'_>, result: &ForwardResult) -> Result<Report, ShapeError> {
    let input = input(job);
    match (&result.saved, &job.state.running) {
        (Some(saved), before) => {
            let after = result.running.as_ref();
            let moved = before.as_ref().zip(after).zip(job.config.running);
            let result = TrainResult::new(&result.y, saved)
                .with_running(moved.map(|((before, after), running)| (before, after, running)));
            check::train_forward(&input, &result)
        }
        (None, Some(running)) => {
            check::inference(&input, &running.mean, &running.variance, &result.y)
        }
        // Inference without running statistics was refused with the input.
        (None, None) => Ok(Report::default()),
    }
}

fn input<'a>(job: &'a Job<'_>) -> check::Input<'a> {
    check::Input::new(job.view, job.x.values, job.parameters(), job.config.eps)
        .with_epilogue(check::Epilogue::default().with_element(job.x.element))
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
        let sums = cpu::backward_frozen(&view, x, dy, mean, variance, weight, config.eps, dx)?;
        (start.elapsed(), sums)
    } else {
        let mut y = vec![0.0; x.len()];
        // Their like moves on a copy: what one value per channel may do depends on it.
        let mut running = job.state.running.clone();
        let moving = running.as_mut().zip(config.running);
        let saved = cpu::train_forward(&view, x, job.parameters(), config.eps, moving, &mut y)?;
        let start = Instant::now();
        let sums = cpu::backward(&view, x, dy, &saved, weight, Some(&mut dx))?;
        (start.elapsed(), sums)
    };
    let (stored, dx) = narrowed(element, dx);
    let gradients = HostGradients { dx, dweight, dbias };
    let judged = || match (mode, &job.state.running) {
        (Mode::Eval, Some(running)) => {
            let (mean, variance) = (&running.mean, &running.variance);
            check::backward_frozen(&input(job), dy, mean, variance, &gradients, None)
        }
        _ => check::backward(&input(job), dy, &gradients, None),
    };
    Ok(BackwardResult {
        report: job.check.then(judged).transpose()?,
        gradients,
        stored,
        time,
    })
}

pub fn moments(
    (shape, x): (&[usize], Stored<'_>),
    axes: &[isize],
    keep_dims: bool,
    check: bool,
) -> Result<MomentsResult, Failure> {
    let start = Instant::now();
    let (moments, kept) = functional::cpu_moments(x.values, shape, axes, keep_dims)?;
    let time = start.elapsed();
    let [mean, variance] = super::rounded(&moments);
    let judged = || check::moments_over(x.values, shape, axes, &mean, &variance);
    let report = check.then(judged).transpose()?;
    Ok(MomentsResult {
        mean,
        variance,
        shape: kept,
        report,
        time,
    })
}
