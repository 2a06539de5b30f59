//! `wgbn backward`.

use wgpu_batchnorm::HostGradients;
use wgpu_batchnorm::check::{self, Report};

use crate::args::{self, FileArgs};
use crate::engine::{Engine, Job};
use crate::failure::Failure;
use crate::forward::{Done, input, mode};
use crate::input::Inputs;
use crate::output::{self, Outputs};
use crate::{progress, table};

pub fn run(args: &FileArgs) -> Result<(), Failure> {
    let inputs = Inputs::read(&args.input)?;
    output::check_path(&args.output, inputs.x.element, false)?;
    let dy = inputs.upstream()?.stored();
    let (state, config, view) = inputs.layer(&args.prefix, args.config(), args.mode)?;
    let job = Job {
        config,
        shape: &inputs.x.shape,
        view,
        state: &state,
        x: inputs.x.stored(),
    };
    let engine = Engine::open(&args.device)?;
    let spinner = progress::spinner("differentiating");
    let result = engine.backward(&job, dy, mode(args.mode))?;
    spinner.set_message("checking");
    let gradients = &result.gradients;
    let check = || check_gradients(&job, dy.values, args.mode, gradients);
    let report = (!args.no_check).then(check);
    if let Some(report) = &report {
        report.enforce()?;
    }
    let mut outputs = Outputs::default();
    let channels = [view.channels];
    outputs.add_stored("dx", job.x.element, job.shape, result.stored);
    outputs.add("dweight", &channels, &gradients.dweight);
    outputs.add("dbias", &channels, &gradients.dbias);
    outputs.write(&args.output)?;
    spinner.finish_and_clear();
    let done = Done {
        operation: "backward",
        report,
        not_finite: table::not_finite(&gradients.dweight),
        time: result.time,
    };
    done.print(args, &engine, &job)
}

/// Compares gradients with the reference.
pub fn check_gradients(
    job: &Job<'_>,
    dy: &[f32],
    mode: args::Mode,
    gradients: &HostGradients,
) -> Report {
    let input = input(job);
    match (mode, &job.state.running) {
        (args::Mode::Eval, Some(running)) => {
            let (mean, variance) = (&running.mean, &running.variance);
            check::backward_frozen(&input, dy, mean, variance, gradients, None)
        }
        _ => check::backward(&input, dy, gradients, None),
    }
}
