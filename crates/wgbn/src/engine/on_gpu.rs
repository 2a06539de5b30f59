//! Forward and backward on an adapter: tensors go up and come back as they are stored.

use std::time::Instant;

use wgpu_batchnorm::check::{Finding, Report};
use wgpu_batchnorm::checked;
use wgpu_batchnorm::{
    BackwardRequest, BatchNorm, ForwardRequest, Gpu, HostGradients, LayerState, Mode, Tensor,
    functional,
};

use super::{BackwardResult, ForwardResult, Job, MomentsResult, rounded};
use crate::failure::Failure;
use crate::stored::{Stored, widened};
use testkit::layout::running_rows;
use testkit::weights::HostWeights;

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
    let values = widened(tensor.element(), &bytes)?;
    Ok((bytes, values))
}

/// The job's tensors on the device.
struct Tensors {
    x: Tensor,
    residual: Option<Tensor>,
    weights: Option<Tensor>,
}

/// A layer in the job's state, and the input.
fn layer(gpu: &Gpu, job: &Job<'_>) -> Result<(BatchNorm, Tensors), Failure> {
    let layer = BatchNorm::with_state(gpu, job.view.channels(), job.config, job.state)?;
    let x = upload(gpu, job.shape, job.x)?;
    let residual = job
        .residual
        .map(|residual| upload(gpu, job.shape, residual));
    let residual = residual.transpose()?;
    let weights = job
        .weights
        .map(|weights| Tensor::upload(gpu, &weights.shape, &weights.values));
    let weights = weights.transpose()?;
    wait(gpu);
    Ok((
        layer,
        Tensors {
            x,
            residual,
            weights,
        },
    ))
}

/// What the job asks of a forward pass.
fn request<'a>(job: &Job<'_>, tensors: &'a Tensors, mode: Mode) -> ForwardRequest<'a> {
    let request = ForwardRequest::new(mode).with_residual(tensors.residual.as_ref());
    match (&tensors.weights, job.weights) {
        (Some(weights), Some(given)) => request.with_weights(weights, given.outside),
        _ => request,
    }
}

/// What the device holds of the job's tensors, by name, and what it was given.
fn inputs<'a>(
    job: &'a Job<'_>,
    tensors: &'a Tensors,
) -> Vec<(&'static str, &'a Tensor, Stored<'a>)> {
    let mut inputs = vec![("x on the device", &tensors.x, job.x)];
    let residual = tensors.residual.as_ref().zip(job.residual);
    inputs.extend(residual.map(|(tensor, given)| ("residual on the device", tensor, given)));
    let weights = tensors.weights.as_ref().zip(job.weights);
    inputs.extend(weights.map(|(tensor, given)| {
        let given = Stored::f32(&given.values);
        ("weights on the device", tensor, given)
    }));
    inputs
}

/// A second layer in the job's state, and what the device does not hold as the host gave it.
fn second_layer(
    gpu: &Gpu,
    job: &Job<'_>,
    tensors: &[(&'static str, &Tensor, Stored<'_>)],
) -> Result<(BatchNorm, Vec<Finding>), Failure> {
    let layer = BatchNorm::with_state(gpu, job.view.channels(), job.config, job.state)?;
    let mut findings = state_held(&layer, job.state)?;
    for (name, tensor, given) in tensors {
        findings.extend(held(name, tensor, *given)?);
    }
    Ok((layer, findings))
}

fn held(
    name: &'static str,
    tensor: &Tensor,
    given: Stored<'_>,
) -> Result<Option<Finding>, Failure> {
    let (_, values) = read(tensor)?;
    Ok(Finding::held(name, &values, given.values))
}

/// Whether the device holds a layer's state as the host gave it.
pub fn state_held(layer: &BatchNorm, given: &LayerState) -> Result<Vec<Finding>, Failure> {
    let held = layer.state_blocking()?;
    let mut findings = Vec::new();
    for (name, held, given) in [
        ("weight on the device", held.weight, given.weight.as_ref()),
        ("bias on the device", held.bias, given.bias.as_ref()),
        (
            "running statistics on the device",
            held.running.as_ref().map(running_rows),
            given.running.as_ref().map(running_rows).as_ref(),
        ),
    ] {
        let (held, given) = (held.unwrap_or_default(), given.cloned());
        findings.extend(Finding::held(name, &held, &given.unwrap_or_default()));
    }
    Ok(findings)
}

/// Both together.
fn with(mut report: Report, findings: impl IntoIterator<Item = Finding>) -> Report {
    report.findings.extend(findings);
    report
}

/// Timed without a check; with one, the results are those of a second run, which is surrounded by what a
/// check needs.
pub fn forward(gpu: &Gpu, job: &Job<'_>, mode: Mode) -> Result<ForwardResult, Failure> {
    let (mut layer, tensors) = layer(gpu, job)?;
    let x = &tensors.x;
    let request = request(job, &tensors, mode).with_keep_running(job.keep_running);
    let start = Instant::now();
    let mut forward = layer.forward(x, request)?;
    wait(gpu);
    let time = start.elapsed();
    let mut report = None;
    if job.check {
        let (second, findings) = second_layer(gpu, job, &inputs(job, &tensors))?;
        layer = second;
        let (again, judged) = checked::forward_blocking(&mut layer, x, request)?;
        forward = again;
        report = Some(with(judged, findings));
    }
    let (stored, y) = read(&forward.y)?;
    let mut result = ForwardResult {
        y,
        stored,
        saved: None,
        running: None,
        report,
        time,
    };
    if mode == Mode::Train {
        result.saved = forward.saved.read_blocking()?;
        let running = layer.state_blocking()?.running;
        result.running = running.filter(|_| !job.keep_running);
    }
    Ok(result)
}

/// As [`forward`].
pub fn backward(
    gpu: &Gpu,
    job: &Job<'_>,
    given: Stored<'_>,
    mode: Mode,
) -> Result<BackwardResult, Failure> {
    let (mut layer, tensors) = layer(gpu, job)?;
    let x = &tensors.x;
    let dy = upload(gpu, job.shape, given)?;
    let request = request(job, &tensors, mode);
    let forward = layer.forward(x, request)?;
    wait(gpu);
    let wanted = |saved| BackwardRequest::new(saved).with_dresidual(tensors.residual.is_some());
    let start = Instant::now();
    let mut gradients = layer.backward(x, &dy, wanted(&forward.saved))?;
    wait(gpu);
    let time = start.elapsed();
    let mut report = None;
    if job.check {
        let mut inputs = inputs(job, &tensors);
        inputs.push(("dy on the device", &dy, given));
        let (mut layer, findings) = second_layer(gpu, job, &inputs)?;
        // What is wrong of the forward pass is wrong of these gradients: they are judged from x on.
        let forward = layer.forward(x, request)?;
        let request = wanted(&forward.saved);
        let (again, judged) = checked::backward_blocking(&layer, x, &dy, request)?;
        gradients = again;
        report = Some(with(judged, findings));
    }
    let (stored, dx) = match &gradients.dx {
        Some(dx) => read(dx)?,
        None => (vec![], vec![]),
    };
    let dresidual = gradients.dresidual.as_ref();
    let dresidual = dresidual.map(Tensor::read_bytes_blocking).transpose()?;
    Ok(BackwardResult {
        dresidual,
        gradients: HostGradients::new(
            dx,
            gradients.dweight_blocking()?,
            gradients.dbias_blocking()?,
        ),
        stored,
        report,
        time,
    })
}

/// As [`forward`].
pub fn moments(
    gpu: &Gpu,
    (shape, given): (&[usize], Stored<'_>),
    weights: Option<&HostWeights>,
    axes: &[isize],
    keep_dims: bool,
    check: bool,
) -> Result<MomentsResult, Failure> {
    let x = upload(gpu, shape, given)?;
    let on_device = weights.map(|weights| Tensor::upload(gpu, &weights.shape, &weights.values));
    let on_device = on_device.transpose()?;
    wait(gpu);
    let start = Instant::now();
    let mut moments = match &on_device {
        None => functional::moments(&x, axes, keep_dims)?,
        Some(weights) => functional::weighted_moments(&x, weights, axes, keep_dims)?,
    };
    wait(gpu);
    let time = start.elapsed();
    let mut report = None;
    if check {
        let mut findings: Vec<_> = held("x on the device", &x, given)?.into_iter().collect();
        let (again, judged) = match on_device.as_ref().zip(weights) {
            None => checked::moments_blocking(&x, axes, keep_dims)?,
            Some((tensor, weights)) => {
                findings.extend(held(
                    "weights on the device",
                    tensor,
                    Stored::f32(&weights.values),
                )?);
                checked::weighted_moments_blocking(&x, tensor, axes, keep_dims)?
            }
        };
        moments = again;
        report = Some(with(judged, findings));
    }
    let [mean, variance] = rounded(&moments.read_blocking()?);
    Ok(MomentsResult {
        mean,
        variance,
        shape: moments.shape(),
        report,
        time,
    })
}
