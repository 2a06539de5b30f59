//! Forward and backward on the CPU path, which computes in f32 whatever is stored.

use std::time::Instant;

use wgpu_batchnorm::check::{self, Report, TrainResult};
use wgpu_batchnorm::cpu;
use wgpu_batchnorm::{Element, HostGradients, Mode, RunningStatistics, functional};

use super::{BackwardResult, ForwardResult, Job, MomentsResult};
use crate::failure::Failure;
use crate::stored::{Stored, rounded, widened};
use testkit::weights::HostWeights;

/// Rounds to `element` what the CPU path computed in f32: as it is stored, and widened again.
fn narrowed(element: Element, values: Vec<f32>) -> Result<(Vec<u8>, Vec<f32>), Failure> {
    let stored = rounded(element, &values)?;
    let values = match element {
        Element::F32 => values,
        element => widened(element, &stored)?,
    };
    Ok((stored, values))
}

pub fn forward(job: &Job<'_>, mode: Mode) -> Result<ForwardResult, Failure> {
    let element = job.x.element;
    let input = cpu_input(job)?;
    let mut y = vec![0.0; job.x.values.len()];
    if mode == Mode::Eval {
        let running = job.running()?;
        let start = Instant::now();
        cpu::inference(&input, running, &mut y)?;
        let time = start.elapsed();
        let (stored, y) = narrowed(element, y)?;
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
    let saved = cpu::train_forward(&input, moved(job, &mut running), &mut y)?;
    let time = start.elapsed();
    let running = running.filter(|_| !job.keep_running);
    let (stored, y) = narrowed(element, y)?;
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
fn judged(job: &Job<'_>, result: &ForwardResult) -> Result<Report, Failure> {
    let input = input(job)?;
    match (&result.saved, &job.state.running) {
        (Some(saved), before) => {
            let after = result.running.as_ref();
            let moved = before.as_ref().zip(after).zip(job.config.running);
            let result = TrainResult::new(&result.y, saved)
                .with_running(moved.map(|((before, after), running)| (before, after, running)));
            Ok(check::train_forward(&input, &result)?)
        }
        (None, Some(running)) => {
            let (mean, variance) = (&running.mean, &running.variance);
            Ok(check::inference(&input, mean, variance, &result.y)?)
        }
        // Inference without running statistics was refused with the input.
        (None, None) => Ok(Report::default()),
    }
}

fn input<'a>(job: &'a Job<'_>) -> Result<check::Input<'a>, Failure> {
    let epilogue = check::Epilogue::default()
        .with_element(job.x.element)
        .with_activation(job.config.activation)
        .with_residual(job.residual.map(|residual| residual.values));
    let (parameters, eps) = (job.parameters(), job.config.eps);
    Ok(check::Input::new(job.view, job.x.values, parameters, eps)
        .with_epilogue(epilogue)
        .with_weights(job.weights()?))
}

fn cpu_input<'a>(job: &'a Job<'_>) -> Result<cpu::Input<'a>, Failure> {
    let (parameters, eps) = (job.parameters(), job.config.eps);
    Ok(cpu::Input::new(job.view, job.x.values, parameters, eps)
        .with_activation(job.config.activation)
        .with_residual(job.residual.map(|residual| residual.values))
        .with_weights(job.weights()?))
}

/// These running statistics, to be moved as the job says.
fn moved<'a>(
    job: &Job<'_>,
    running: &'a mut Option<RunningStatistics>,
) -> Option<cpu::Running<'a>> {
    let moved = running.as_mut().zip(job.config.running);
    moved.map(|(statistics, update)| cpu::Running::new(statistics, update))
}

pub fn backward(job: &Job<'_>, dy: &[f32], mode: Mode) -> Result<BackwardResult, Failure> {
    let element = job.x.element;
    let host = cpu_input(job)?;
    let zeros = || vec![0.0; job.x.values.len()];
    let (mut dx, mut dresidual) = (zeros(), job.residual.map(|_| zeros()));
    let (time, sums) = if mode == Mode::Eval {
        let running = job.running()?;
        let start = Instant::now();
        let sums = cpu::backward_frozen(&host, dy, running, Some(&mut dx))?;
        if let Some(dresidual) = &mut dresidual {
            cpu::dresidual_frozen(&host, dy, running, dresidual)?;
        }
        (start.elapsed(), sums)
    } else {
        let mut y = zeros();
        // Their like moves on a copy: what one value per channel may do depends on it.
        let mut running = job.state.running.clone();
        let saved = cpu::train_forward(&host, moved(job, &mut running), &mut y)?;
        let start = Instant::now();
        let sums = cpu::backward(&host, dy, &saved, Some(&mut dx))?;
        if let Some(dresidual) = &mut dresidual {
            cpu::dresidual(&host, dy, &saved, dresidual)?;
        }
        (start.elapsed(), sums)
    };
    let (stored, dx) = narrowed(element, dx)?;
    let gradients = HostGradients::new(dx, sums.dweight, sums.dbias);
    let dresidual = dresidual.map(|values| narrowed(element, values));
    let dresidual = dresidual.transpose()?;
    let judged = || {
        let input = input(job)?;
        let running = job.state.running.as_ref();
        let frozen = running.filter(|_| mode == Mode::Eval);
        let frozen = frozen.map(|running| (&running.mean[..], &running.variance[..]));
        let mut report = match frozen {
            Some((mean, variance)) => {
                check::backward_frozen(&input, dy, mean, variance, &gradients, None)?
            }
            None => check::backward(&input, dy, &gradients, None)?,
        };
        if let Some((_, got)) = &dresidual {
            let judged = check::dresidual(&input, dy, frozen, got)?;
            report.findings.extend(judged.findings);
        }
        Ok::<_, Failure>(report)
    };
    Ok(BackwardResult {
        report: job.check.then(judged).transpose()?,
        dresidual: dresidual.map(|(stored, _)| stored),
        gradients,
        stored,
        time,
    })
}

pub fn moments(
    (shape, x): (&[usize], Stored<'_>),
    weights: Option<&HostWeights>,
    axes: &[isize],
    keep_dims: bool,
    check: bool,
) -> Result<MomentsResult, Failure> {
    let start = Instant::now();
    let (moments, kept) = match weights {
        None => functional::cpu_moments(x.values, shape, axes, keep_dims)?,
        Some(weights) => {
            let weights = (&weights.values[..], &weights.shape[..]);
            functional::cpu_weighted_moments((x.values, shape), weights, axes, keep_dims)?
        }
    };
    let time = start.elapsed();
    let [mean, variance] = super::rounded(&moments);
    let judged = || match weights {
        None => check::moments_over(x.values, shape, axes, &mean, &variance),
        Some(weights) => {
            let weights = (&weights.values[..], &weights.shape[..]);
            check::weighted_moments_over((x.values, shape), weights, axes, &mean, &variance)
        }
    };
    let report = check.then(judged).transpose()?;
    Ok(MomentsResult {
        mean,
        variance,
        shape: kept,
        report,
        time,
    })
}
