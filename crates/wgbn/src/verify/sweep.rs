//! One trial: every operation on it, each judged.

use wgpu_batchnorm::{Gpu, Mode};

use super::audit::{digests, saved_results};
use super::outcome::Outcome;
use super::trials::{Data, Trial};
use super::values::{Values, moment_axes, pattern};
use super::{gpu, image};
use crate::args;
use crate::engine::{EngineChoice, ForwardResult, Job};
use crate::failure::Failure;
use crate::forward;
use crate::stored::Stored;
use testkit::layout::running_rows;
use testkit::texels;

/// Every operation of `trial`.
pub fn run(engine: &EngineChoice, gpus: &[Gpu], trial: &Trial) -> Result<Vec<Outcome>, Failure> {
    let values = Values::of(trial)?;
    let mut outcomes = match engine {
        EngineChoice::Cpu { .. } => on_cpu(engine, trial, &values)?,
        EngineChoice::Gpu(_) => match trial.data {
            Data::Image {
                format, keep_alpha, ..
            } => {
                let x = texels::bytes(format, &values.x);
                let image = image::Image {
                    gpu: &gpus[trial.sizes],
                    config: trial.config(),
                    size: [trial.shape[1] as u32, trial.shape[0] as u32],
                    format,
                    keep_alpha,
                    state: &values.state,
                };
                image.sweep(&x)?
            }
            _ => gpu::sweep(gpus, trial, &values)?,
        },
    };
    if trial.data == Data::Exact {
        let findings = outcomes.iter_mut().flat_map(|o| &mut o.report.findings);
        findings.for_each(|finding| finding.bound = 0.0);
    }
    Ok(outcomes)
}

fn on_cpu(engine: &EngineChoice, trial: &Trial, values: &Values) -> Result<Vec<Outcome>, Failure> {
    let mut outcomes = Vec::new();
    let mut add = |operation, report, results: &[(&'static str, Vec<f32>)]| {
        outcomes.push(Outcome {
            operation,
            variant: pattern(&values.view).to_owned(),
            report,
            digests: digests(results),
        });
    };
    let job = Job {
        config: trial.config(),
        shape: trial.shape,
        view: values.view,
        state: &values.state,
        x: Stored::f32(&values.x),
        residual: trial.residual.then(|| Stored::f32(&values.residual)),
        weights: values.weights.as_ref(),
        keep_running: false,
        check: true,
    };
    for (at, names) in [
        (args::Mode::Train, ["train forward", "backward"]),
        (args::Mode::Eval, ["inference", "backward, frozen"]),
    ] {
        let mode = forward::mode(at);
        let refused = mode == Mode::Eval && !values.has_frozen_backward(trial);
        if mode == Mode::Eval && job.config.running.is_none() || refused {
            continue;
        }
        let mut result = engine.forward(&job, mode)?;
        let report = result.report.take().unwrap_or_default();
        add(names[0], report, &forward_results(result));
        let backward = engine.backward(&job, Stored::f32(&values.dy), mode)?;
        let (gradients, report) = (backward.gradients, backward.report.unwrap_or_default());
        let results = [
            ("dx", gradients.dx),
            ("dweight", gradients.dweight),
            ("dbias", gradients.dbias),
        ];
        add(names[1], report, &results);
    }
    for (operation, axes) in moment_axes(trial) {
        // The weights lie along the axes that these reduce.
        let weights = values.weights_of(operation);
        let input = (trial.shape, job.x);
        let result = engine.moments(input, weights, &axes, false, true)?;
        let results = [("mean", result.mean), ("variance", result.variance)];
        add(operation, result.report.unwrap_or_default(), &results);
    }
    Ok(outcomes)
}

fn forward_results(result: ForwardResult) -> Vec<(&'static str, Vec<f32>)> {
    let mut results = vec![("y", result.y)];
    if let Some(saved) = result.saved {
        results.extend(saved_results(saved));
    }
    results.extend(result.running.map(|r| ("running", running_rows(&r))));
    results
}
