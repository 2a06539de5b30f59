//! `wgbn forward`.

use std::time::Duration;

use serde_json::json;
use wgpu_batchnorm::check::Report;
use wgpu_batchnorm::{Mode, RunningUpdate, RunningVariance};

use crate::args::{self, FileArgs};
use crate::engine::{EngineChoice, ForwardResult, Job};
use crate::failure::Failure;
use crate::input::{HostTensor, Inputs, Layer};
use crate::output::{self, Outputs};
use crate::{progress, say, table};
use testkit::weights::HostWeights;

pub fn run(args: &FileArgs) -> Result<(), Failure> {
    let inputs = Inputs::read(&args.input)?;
    output::check_path(&args.output, inputs.x.element, true)?;
    let layer = inputs.layer(&args.lookup(), args.config(), args.mode)?;
    let weights = inputs.weights(layer.config.axis, &args.weights())?;
    let weight = weight_of(args, &inputs, &layer, weights.as_ref())?;
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
    let spinner = progress::spinner("normalizing");
    let mut result = engine.forward(&job, mode(args.mode))?;
    let report = result.report.take();
    if let Some(report) = &report {
        report.enforce()?;
    }
    let mut outputs = Outputs::default();
    let y = std::mem::take(&mut result.stored);
    outputs.add_stored("y", job.x.element, job.shape, y)?;
    add_statistics(&mut outputs, &layer, &result, weight != Some(0.0));
    outputs.write(&args.output)?;
    spinner.finish_and_clear();
    let batch = result.saved.as_ref().map(|saved| &saved.batch_mean[..]);
    let empty = layer.view.is_empty() || weight == Some(0.0);
    let not_finite = match empty {
        true => vec![],
        false => table::not_finite(&[batch.unwrap_or_default()]),
    };
    let weightless = "all weights are 0: there are no statistics, and none move".to_owned();
    let weightless = (weight == Some(0.0)).then_some(&weightless);
    let done = Done {
        operation: "forward",
        report,
        not_finite,
        time: result.time,
        notes: inputs
            .notes
            .iter()
            .chain(&layer.notes)
            .chain(weightless)
            .collect(),
    };
    done.print(args, &engine, &job)
}

/// The sum of the weights of each channel's values, where training has weights. Refuses one that the unbiased variance is
/// not of.
fn weight_of(
    args: &FileArgs,
    inputs: &Inputs,
    layer: &Layer,
    weights: Option<&HostWeights>,
) -> Result<Option<f64>, Failure> {
    let Some(weights) = weights.filter(|_| args.mode == args::Mode::Train) else {
        return Ok(None);
    };
    let sum = weights.of(&inputs.x.shape, layer.config.axis)?.sum();
    let unbiased = |update: RunningUpdate| update.variance == RunningVariance::Unbiased;
    let moves = layer.config.running.is_some_and(unbiased) && !args.keep_running;
    match moves && sum > 0.0 && sum <= 1.0 {
        true => Err(Failure::Input(format!(
            "the weights of a channel sum to {sum}, and the unbiased variance needs more than 1; --running-var biased or --keep-running needs none"
        ))),
        false => Ok(Some(sum)),
    }
}

pub fn mode(mode: args::Mode) -> Mode {
    match mode {
        args::Mode::Train => Mode::Train,
        args::Mode::Eval => Mode::Eval,
    }
}

fn add_statistics(outputs: &mut Outputs, layer: &Layer, result: &ForwardResult, weighs: bool) {
    let (state, shape) = (&layer.state, [layer.view.channels()]);
    if result.saved.is_some() {
        // As they were, so that the file can be the next input.
        let parameters = [("weight", &state.weight), ("bias", &state.bias)];
        for (name, values) in parameters {
            values.iter().for_each(|v| outputs.add(name, &shape, v));
        }
    }
    if let Some(saved) = &result.saved {
        outputs.add("batch_mean", &shape, &saved.batch_mean);
        outputs.add("batch_var", &shape, &saved.batch_var);
        outputs.add("inv_std", &shape, &saved.inv_std);
    }
    // Kept, they are as they were.
    let kept = state.running.as_ref().filter(|_| result.saved.is_some());
    if let Some(running) = result.running.as_ref().or(kept) {
        outputs.add("running_mean", &shape, &running.mean);
        outputs.add("running_var", &shape, &running.variance);
        let moved = result.running.is_some() && !layer.view.is_empty() && weighs;
        let counted = u64::from(moved);
        outputs.add_count(
            "num_batches_tracked",
            state.num_batches_tracked.saturating_add(counted),
        );
    }
}

/// A pass that came to its end.
pub struct Done<'a> {
    pub operation: &'static str,
    pub report: Option<Report>,
    /// Channels whose statistics or gradients are not finite.
    pub not_finite: Vec<usize>,
    pub time: Duration,
    /// What is to be said of the input.
    pub notes: Vec<&'a String>,
}

impl Done<'_> {
    /// Says what was done, how far off, how long.
    pub fn print(
        &self,
        args: &FileArgs,
        engine: &EngineChoice,
        job: &Job<'_>,
    ) -> Result<(), Failure> {
        let report = self.report.as_ref();
        let (operation, channels) = (self.operation, job.view.channels());
        let mode = match args.mode {
            args::Mode::Train => "train",
            args::Mode::Eval => "eval",
        };
        let element = engine.element(job.x.element).name();
        if args.json {
            let object = json!({
                "operation": operation, "mode": mode, "device": engine.name(),
                "note": engine.note(), "notes": self.notes, "element": element, "shape": job.shape, "channels": channels,
                "not_finite": self.not_finite, "milliseconds": self.time.as_secs_f64() * 1e3,
                "findings": table::report_json(report), "output": args.output.display().to_string(),
            });
            return say!("{object}");
        }
        if let Some(note) = engine.note() {
            say!("{note}")?;
        }
        for note in &self.notes {
            say!("{note}")?;
        }
        say!(
            "{operation} ({mode}) of {} with {channels} channels in {element} on {}: {}{}",
            table::shape(job.shape),
            engine.name(),
            table::time(self.time),
            engine.first_run()
        )?;
        match report {
            Some(report) => say::text(format_args!("{}", table::findings(report)))?,
            None => say!("not checked")?,
        }
        if !self.not_finite.is_empty() {
            say!(
                "not finite in {} of {channels} channels: {}",
                self.not_finite.len(),
                table::channels(&self.not_finite)
            )?;
        }
        say!("wrote {}", args.output.display())
    }
}
