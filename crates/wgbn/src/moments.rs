//! `wgbn moments`.

use serde_json::json;
use testkit::weights::HostWeights;
use wgpu_batchnorm::Outside;

use crate::args::MomentsArgs;
use crate::engine::{EngineChoice, MomentsResult};
use crate::failure::Failure;
use crate::input::{Inputs, NEW_CHANNELS};
use crate::output::{self, Outputs};
use crate::{progress, say, table};

pub fn run(args: &MomentsArgs) -> Result<(), Failure> {
    let inputs = Inputs::read(&args.input)?;
    let beside = inputs.beside_x()?;
    let Inputs {
        x,
        weights,
        mut notes,
        ..
    } = inputs;
    notes.extend(beside);
    output::check_path(&args.output, x.element, false)?;
    // No value vouches for the header's lengths.
    let others = x.shape.iter().skip(1);
    let most = others.fold(1usize, |most, &len| most.saturating_mul(len));
    if x.values.is_empty() && most > NEW_CHANNELS {
        return Err(Failure::Input(format!(
            "x has no values, and of an empty batch at most {NEW_CHANNELS} moments are given; its shape is {:?}",
            x.shape
        )));
    }
    let engine = EngineChoice::open(&args.device, args.tuning.as_deref())?;
    if args.no_check {
        engine.probe()?;
    }
    let spinner = progress::spinner("reducing");
    let input = (&x.shape[..], x.stored());
    let weights = weights.map(|weights| HostWeights {
        values: weights.values,
        shape: weights.shape,
        outside: Outside::Normalize,
    });
    let result = engine.moments(
        input,
        weights.as_ref(),
        &args.axes,
        args.keep_dims,
        !args.no_check,
    )?;
    let MomentsResult {
        mean,
        variance,
        shape,
        report,
        time,
    } = result;
    if let Some(report) = &report {
        report.enforce()?;
    }
    let mut outputs = Outputs::default();
    outputs.add("mean", &shape, &mean);
    outputs.add("variance", &shape, &variance);
    outputs.write(&args.output)?;
    spinner.finish_and_clear();

    let element = engine.element(x.element).name();
    if args.json {
        let object = json!({
            "operation": "moments", "device": engine.name(), "note": engine.note(), "notes": notes,
            "element": element, "shape": x.shape, "axes": args.axes, "statistics_shape": shape,
            "milliseconds": time.as_secs_f64() * 1e3,
            "findings": table::report_json(report.as_ref()), "output": args.output.display().to_string(),
        });
        return say!("{object}");
    }
    if let Some(note) = engine.note() {
        say!("{note}")?;
    }
    for note in &notes {
        say!("{note}")?;
    }
    say!(
        "moments of {} over axes {:?}, shape {}, in {element} on {}: {}{}",
        table::shape(&x.shape),
        args.axes,
        table::shape(&shape),
        engine.name(),
        table::time(time),
        engine.first_run()
    )?;
    match &report {
        Some(report) => say::text(format_args!("{}", table::findings(report)))?,
        None => say!("not checked")?,
    }
    say!("wrote {}", args.output.display())
}
