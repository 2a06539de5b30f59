//! `wgbn demo`: the UCI handwritten digits, normalized and differentiated.

use std::time::Duration;

use wgpu_batchnorm::check::Report;
use wgpu_batchnorm::{Config, LayerState, Mode, View};

use crate::args::{self, DemoArgs};
use crate::engine::{EngineChoice, Job};
use crate::failure::Failure;
use crate::stored::Stored;
use crate::{progress, say, table};

/// 1,797 images of 8×8 pixels from 0 to 16; see `data/README.md` for origin and licence.
const DIGITS: &[u8] = include_bytes!("../data/digits.bin");
const IMAGES: usize = DIGITS.len() / 64;

/// Runs timed of each operation; the median counts.
const RUNS: usize = 9;

pub fn run(args: &DemoArgs) -> Result<(), Failure> {
    let engine = EngineChoice::open(&args.device, args.tuning.as_deref())?;
    if let Some(note) = engine.note() {
        say!("{note}")?;
    }
    say!("wgpu-batchnorm demo: {IMAGES} handwritten digits of 8×8 pixels (UCI, CC BY 4.0)")?;
    say!(
        "running on {}; every result is checked against an f64 reference\n",
        engine.name()
    )?;

    let x: Vec<f32> = DIGITS.iter().map(|&pixel| f32::from(pixel)).collect();
    let bar = progress::bar(8);
    let mut rows = table::Table::new(&["shape", "operation", "worst error", "bound", "in", "time"]);
    for shape in [&[IMAGES, 64][..], &[IMAGES, 1, 8, 8]] {
        for mode in [args::Mode::Train, args::Mode::Eval] {
            demonstrate(&engine, shape, &x, mode, &mut |operation, report, time| {
                bar.inc(1);
                report.enforce()?;
                if let Some(worst) = report.worst() {
                    rows.row(&[
                        table::shape(shape),
                        operation.to_owned(),
                        table::error(worst.error),
                        table::error(worst.bound),
                        worst.tensor.to_owned(),
                        table::time(time),
                    ]);
                }
                Ok(())
            })?;
        }
    }
    bar.finish_and_clear();
    say::text(format_args!("{rows}"))?;
    say!("\nerrors are fractions of each channel's scale; times are medians of {RUNS} runs")
}

/// Forward and backward in one mode.
fn demonstrate(
    engine: &EngineChoice,
    shape: &[usize],
    x: &[f32],
    mode: args::Mode,
    show: &mut dyn FnMut(&str, Report, Duration) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let config = Config::pytorch();
    let view = View::new(shape, config.axis)?;
    let mut state = LayerState::new(view.channels(), &config)?;
    let train = |state: &LayerState| {
        let job = Job {
            config,
            shape,
            view,
            state,
            x: Stored::f32(x),
            residual: None,
            weights: None,
            keep_running: false,
            check: false,
        };
        engine.forward(&job, Mode::Train)
    };
    if mode == args::Mode::Eval {
        // Statistics as some training leaves them.
        for _ in 0..20 {
            state.running = train(&state)?.running;
        }
    }
    let job = Job {
        config,
        shape,
        view,
        state: &state,
        x: Stored::f32(x),
        residual: None,
        weights: None,
        keep_running: false,
        check: false,
    };
    let checked = Job { check: true, ..job };
    let library_mode = crate::forward::mode(mode);
    let (names, mut times) = match mode {
        args::Mode::Train => (["train forward", "backward"], Vec::new()),
        args::Mode::Eval => (["inference", "backward, frozen"], Vec::new()),
    };
    // The checked run comes first, so that none of the timed ones compiles anything.
    let forward = engine.forward(&checked, library_mode)?;
    for _ in 0..RUNS {
        times.push(engine.forward(&job, library_mode)?.time);
    }
    show(names[0], report(forward.report)?, median(&mut times))?;

    let dy = upstream(&forward.y);
    let backward = engine.backward(&checked, Stored::f32(&dy), library_mode)?;
    times.clear();
    for _ in 0..RUNS {
        let dy = Stored::f32(&dy);
        times.push(engine.backward(&job, dy, library_mode)?.time);
    }
    show(names[1], report(backward.report)?, median(&mut times))
}

fn report(report: Option<Report>) -> Result<Report, Failure> {
    report.ok_or_else(|| Failure::Machine("a result was not checked".to_owned()))
}

/// The gradient of ½·mean (y − t)², where each image's target t is the next image, scaled to ±1.
fn upstream(y: &[f32]) -> Vec<f32> {
    let next = DIGITS.iter().cycle().skip(64);
    let target = next.map(|&pixel| (f32::from(pixel) - 8.0) / 8.0);
    let pairs = y.iter().zip(target);
    pairs.map(|(y, t)| (y - t) / DIGITS.len() as f32).collect()
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
