//! `wgbn backward`.

use crate::args::FileArgs;
use crate::engine::{EngineChoice, Job};
use crate::failure::Failure;
use crate::forward::{Done, mode};
use crate::input::{HostTensor, Inputs};
use crate::output::{self, Outputs};
use crate::{progress, table};

pub fn run(args: &FileArgs) -> Result<(), Failure> {
    let inputs = Inputs::read(&args.input)?;
    output::check_path(&args.output, inputs.x.element, false)?;
    let dy = inputs.upstream()?.stored();
    let layer = inputs.layer(&args.lookup(), args.config(), args.mode)?;
    let weights = inputs.weights(layer.config.axis, &args.weights())?;
    let job = Job {
        config: layer.config,
        shape: &inputs.x.shape,
        view: layer.view,
        state: &layer.state,
        x: inputs.x.stored(),
        residual: inputs.residual()?.map(HostTensor::stored),
        weights: weights.as_ref(),
        keep_running: args.keep_running,
        check: !args.no_check,
    };
    let engine = EngineChoice::open(&args.device, args.tuning.as_deref())?;
    if !job.check {
        engine.probe()?;
    }
    let spinner = progress::spinner("differentiating");
    let mut result = engine.backward(&job, dy, mode(args.mode))?;
    let report = result.report.take();
    let gradients = &result.gradients;
    if let Some(report) = &report {
        report.enforce()?;
    }
    let mut outputs = Outputs::default();
    let channels = [layer.view.channels()];
    outputs.add_stored("dx", job.x.element, job.shape, result.stored)?;
    if let Some(dresidual) = result.dresidual {
        outputs.add_stored("dresidual", job.x.element, job.shape, dresidual)?;
    }
    outputs.add("dweight", &channels, &gradients.dweight);
    outputs.add("dbias", &channels, &gradients.dbias);
    outputs.write(&args.output)?;
    spinner.finish_and_clear();
    let done = Done {
        operation: "backward",
        report,
        not_finite: table::not_finite(&[&gradients.dweight, &gradients.dbias]),
        time: result.time,
        notes: inputs.notes.iter().chain(&layer.notes).collect(),
    };
    done.print(args, &engine, &job)
}
