//! The sweep's part for what only adapters have: packed halves, residuals, activations, y over x.

use wgpu_batchnorm::check::Report;
use wgpu_batchnorm::functional::{AffineStep, blocking};
use wgpu_batchnorm::{
    Activation, BackwardRequest, BatchNorm, Check, Element, ForwardRequest, Gpu, Mode, Tensor,
};

use crate::data::Random;
use crate::engine::Job;
use crate::failure::Failure;

/// What follows the normalization, with its name in the table.
const ACTIVATIONS: [(Activation, &str); 7] = [
    (Activation::None, "y = BN(x) + r"),
    (Activation::Relu, "y = relu(BN(x) + r)"),
    (Activation::LeakyRelu(0.1), "y = leaky relu(BN(x) + r)"),
    (Activation::Sigmoid, "y = sigmoid(BN(x) + r)"),
    (Activation::Tanh, "y = tanh(BN(x) + r)"),
    (Activation::Silu, "y = silu(BN(x) + r)"),
    (Activation::Gelu, "y = gelu(BN(x) + r)"),
];

/// Everything fused on one job, whose `x` and this `dy` fit in f16; a report for each operation.
pub fn sweep(
    gpu: &Gpu,
    job: &Job<'_>,
    dy: &[f32],
    all: bool,
    mut add: impl FnMut(&'static str, Element, Report),
) -> Result<(), Failure> {
    let mut random = Random::new(77);
    let residual = random.normals(job.x.len(), -0.2, 0.7);
    for element in [Element::F32, Element::F16, Element::Bf16] {
        let upload = |values: &[f32]| Tensor::upload_as(gpu, job.shape, element, values);
        let (x, dy, residual) = (upload(job.x)?, upload(dy)?, upload(&residual)?);
        let layer = |activation| {
            let config = job.config.with_activation(activation);
            let mut layer = BatchNorm::with_state(gpu, config, job.view.channels, job.state)?;
            layer.set_check(Check::Report);
            Ok::<_, Failure>(layer)
        };
        let of = |report: Option<Report>| report.unwrap_or_default();
        if element != Element::F32 {
            let others: Vec<isize> = (0..job.shape.len() as isize).step_by(2).collect();
            let moments = blocking::moments(&x, &others, false, Check::Report)?;
            add("moments, other axes", element, of(moments.report.clone()));
            let step = AffineStep::default();
            let (_, report) = blocking::normalize(&x, &moments, step, 1e-5, Check::Report)?;
            add("normalize", element, of(report));
            for (mode, forward, backward) in [
                (Mode::Train, "train forward", "backward"),
                (Mode::Eval, "inference", "backward, frozen"),
            ] {
                let mut layer = layer(Activation::None)?;
                let result = layer.forward_blocking(&x, mode)?;
                add(forward, element, of(result.report));
                let wanted = BackwardRequest::default();
                let result = layer.backward_blocking(&x, &dy, result.saved, wanted)?;
                add(backward, element, of(result.report));
            }
        }
        let activations = if all {
            &ACTIVATIONS[..]
        } else {
            &ACTIVATIONS[..2]
        };
        for &(activation, name) in activations {
            let request = ForwardRequest {
                residual: Some(&residual),
                in_place: false,
            };
            for mode in [Mode::Train, Mode::Eval] {
                let mut layer = layer(activation)?;
                let forward = layer.forward_with_blocking(&x, mode, request)?;
                let mut report = of(forward.report);
                let wanted = BackwardRequest {
                    dresidual: true,
                    ..Default::default()
                };
                let saved = forward.saved;
                let gradients = layer.backward_blocking(&x, &dy, saved, wanted)?;
                report.findings.extend(of(gradients.report).findings);
                add(name, element, report);

                let in_place = ForwardRequest {
                    in_place: true,
                    ..request
                };
                let forward = layer.forward_with_blocking(&upload(job.x)?, mode, in_place)?;
                add("y over x", element, of(forward.report));
            }
        }
    }
    Ok(())
}

/// Whether f16 holds the data: its largest value is 65,504.
pub fn fits_f16(x: &[f32]) -> bool {
    x.iter().all(|v| v.abs() < 65_504.0)
}

/// The element's name in the table.
pub fn name(element: Element) -> &'static str {
    match element {
        Element::F32 => "f32",
        Element::F16 => "f16",
        Element::Bf16 => "bf16",
    }
}
