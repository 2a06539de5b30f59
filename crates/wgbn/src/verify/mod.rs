//! `wgbn verify`: every operation, memory pattern, element, option and kernel variant, on ordinary,
//! ill-conditioned and exact data, against the reference.

mod audit;
mod gpu;
mod image;
mod outcome;
mod rows;
mod sweep;
mod trials;
mod values;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use indicatif::ProgressBar;
use serde_json::{Value, json};
use wgpu_batchnorm::internals::shaders::Variant;
use wgpu_batchnorm::{Gpu, adapters_blocking, wgpu};

use crate::args::VerifyArgs;
use crate::engine::EngineChoice;
use crate::failure::Failure;
use crate::{output, progress, say, table};
use outcome::Outcome;
use rows::Rows;
use trials::{Cut, SIZES, Trial};

pub fn run(args: &VerifyArgs) -> Result<(), Failure> {
    if let Some(path) = &args.json {
        output::check_place(path)?;
    }
    let first = Worker::open(args)?;
    let trials = chosen(args, &first.engine)?;
    let groups: Vec<&[Trial]> = trials.chunk_by(|a, b| a.shape == b.shape).collect();
    let mut workers = vec![first];
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let most = match workers[0].engine {
        // All cores work on each trial.
        EngineChoice::Cpu { .. } => 1,
        EngineChoice::Gpu(_) => groups.len().min(cores).min(MOST_WORKERS),
    };
    while workers.len() < most {
        workers.push(Worker::open(args)?);
    }
    let start = Instant::now();
    let bar = progress::bar(trials.len());
    let outcomes = outcomes(args, &workers, &groups, &bar)?;
    bar.finish_and_clear();
    let mut rows = Rows::default();
    for (trial, outcomes) in outcomes {
        outcomes.into_iter().for_each(|o| rows.add(trial, o));
    }
    let seconds = start.elapsed().as_secs_f64();
    let kernels = Kernels::of(workers.iter().flat_map(|worker| &worker.gpus));
    let engine = workers.swap_remove(0).engine;
    let sweep = Sweep {
        engine,
        cases: trials.len(),
        seconds,
        rows,
        kernels,
    };
    let told = sweep.tell(args);
    match sweep.rows.failures().len() {
        0 => told,
        n => {
            // What was wrong is worth more than what could not be written.
            let unwritten = told.err().map(|e| format!("; and {e}"));
            let unwritten = unwritten.unwrap_or_default();
            Err(Failure::Check(format!(
                "{n} results are beyond their bounds{unwritten}"
            )))
        }
    }
}

/// Failures printed; a device that executes nothing has ten thousand.
const MOST_TOLD: usize = 30;

/// Software adapters compile on one thread a device, which is what takes the time.
const MOST_WORKERS: usize = 4;

/// A device of its own, with every way of cutting the work.
struct Worker {
    engine: EngineChoice,
    /// One for each of [`SIZES`].
    gpus: Vec<Gpu>,
}

impl Worker {
    fn open(args: &VerifyArgs) -> Result<Self, Failure> {
        // On a device that executes nothing each case says so itself.
        let engine = EngineChoice::open(&args.device, args.tuning.as_deref())?;
        let gpus = match &engine {
            EngineChoice::Cpu { .. } => vec![],
            EngineChoice::Gpu(gpu) => SIZES
                .iter()
                .map(|(_, cut)| match *cut {
                    Cut::Own => Ok(gpu.clone()),
                    Cut::By(tuning) => Ok(gpu.with_tuning(tuning)?),
                    Cut::Plain(tuning) => Ok(plain(gpu, defaults)?.with_tuning(tuning)?),
                    Cut::Bindings(max_storage_buffer_binding_size) => {
                        plain(gpu, |offered| wgpu::Limits {
                            max_storage_buffer_binding_size,
                            ..offered
                        })
                    }
                })
                .collect::<Result<_, Failure>>()?,
        };
        Ok(Self { engine, gpus })
    }
}

/// What comes of each trial, in their order. Trials of one shape share pipelines, and so a worker.
fn outcomes<'a>(
    args: &VerifyArgs,
    workers: &[Worker],
    groups: &[&'a [Trial]],
    bar: &ProgressBar,
) -> Result<Vec<(&'a Trial, Vec<Outcome>)>, Failure> {
    let next = AtomicUsize::new(0);
    let work = |Worker { engine, gpus }: &Worker| {
        let mut done = Vec::new();
        while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
            for trial in *group {
                bar.set_message(table::shape(trial.shape));
                let outcomes = sweep::run(engine, gpus, trial).map_err(|e| {
                    // The others end with their groups.
                    next.store(groups.len(), Ordering::Relaxed);
                    e.map(|text| format!("{text} ({})", command(args, engine, &trial.name)))
                })?;
                done.push((trial, outcomes));
                bar.inc(1);
            }
        }
        Ok::<_, Failure>(done)
    };
    let done = std::thread::scope(|scope| {
        let threads: Vec<_> = workers.iter().map(|w| scope.spawn(|| work(w))).collect();
        let ends = threads.into_iter().map(|thread| {
            let end = thread.join();
            end.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        ends.collect::<Result<Vec<_>, _>>()
    })?;
    let mut all: Vec<_> = done.into_iter().flatten().collect();
    all.sort_by_key(|(trial, _)| trial.number);
    Ok(all)
}

/// A sweep that came to its end.
struct Sweep {
    engine: EngineChoice,
    cases: usize,
    seconds: f64,
    rows: Rows,
    kernels: Kernels,
}

impl Sweep {
    /// Prints what came out, and writes the report that was asked for.
    fn tell(&self, args: &VerifyArgs) -> Result<(), Failure> {
        let Self {
            engine,
            cases,
            seconds,
            rows,
            kernels,
        } = self;
        let name = engine.name();
        if let Some(note) = engine.note() {
            say!("{note}")?;
        }
        say!("{cases} cases against the f64 reference, on {name}, in {seconds:.0} s\n")?;
        say::text(format_args!("{}", rows.table()))?;
        match engine {
            EngineChoice::Cpu { .. } => {
                say!("\nthe CPU path has f32 alone: no halves, parts or images")?;
            }
            EngineChoice::Gpu(_) if args.case.is_none() => {
                let (ran, all) = (kernels.ran.len(), Variant::all().len());
                say!("\n{ran} of {all} kernel variants ran")?;
                // A quick run leaves many out, and need not say which.
                if !args.quick && !kernels.missed.is_empty() {
                    say!("not: {}", kernels.missed.join(", "))?;
                }
            }
            EngineChoice::Gpu(_) => {}
        }
        let failures = rows.failures();
        for failed in &failures[..failures.len().min(MOST_TOLD)] {
            let again = command(args, engine, &failed.name);
            say!("\n{failed}\n  again: {again}")?;
        }
        if let more @ 1.. = failures.len().saturating_sub(MOST_TOLD) {
            say!("\nand {more} more; --json has all of them")?;
        }
        let Some(path) = &args.json else {
            return Ok(());
        };
        let failures = rows.failures().iter().map(|failed| {
            let again = command(args, engine, &failed.name);
            let what = failed.to_string();
            json!({ "case": failed.case, "name": failed.name, "what": what, "again": again })
        });
        let report = json!({
            "device": name, "note": engine.note(), "quick": args.quick, "cases": cases,
            "seconds": seconds, "rows": rows.as_json(), "failures": failures.collect::<Value>(),
            "outcomes": rows.outcomes(),
            "kernels": { "ran": kernels.ran, "not": kernels.missed },
        });
        output::write_text(path, &format!("{report:#}\n"))
    }
}

/// WebGPU's defaults, but for buffers.
fn defaults(offered: wgpu::Limits) -> wgpu::Limits {
    wgpu::Limits {
        max_buffer_size: offered.max_buffer_size,
        max_storage_buffer_binding_size: offered.max_storage_buffer_binding_size,
        ..wgpu::Limits::default()
    }
}

/// Another device of the same adapter, with such limits of what is offered and no feature.
fn plain(gpu: &Gpu, limits: impl FnOnce(wgpu::Limits) -> wgpu::Limits) -> Result<Gpu, Failure> {
    let machine = |e: String| Failure::Machine(format!("a device without features: {e}"));
    let same = |adapter: &wgpu::Adapter| adapter.get_info() == *gpu.info();
    let adapter = adapters_blocking().into_iter().find(same);
    let adapter = adapter.ok_or_else(|| machine("the adapter is gone".to_owned()))?;
    let request = wgpu::DeviceDescriptor {
        required_limits: limits(adapter.limits()),
        ..Default::default()
    };
    let device = pollster::block_on(adapter.request_device(&request));
    let (device, queue) = device.map_err(|e| machine(e.to_string()))?;
    Ok(Gpu::with_device(device, queue)?)
}

/// The trials that are asked for, as far as this engine has what they need.
fn chosen(args: &VerifyArgs, engine: &EngineChoice) -> Result<Vec<Trial>, Failure> {
    let mut trials = trials::all();
    let len = trials.len();
    if let Some(case) = &args.case {
        let number = case.parse::<usize>().ok();
        trials.retain(|trial| trial.name == *case || number == Some(trial.number));
        if trials.is_empty() {
            return Err(Failure::Input(format!(
                "--case {case}: no such case; there are 1 to {len}, whose names `verify --json FILE` lists"
            )));
        }
    }
    trials.retain(|trial| trial.quick || !args.quick);
    if let EngineChoice::Cpu { .. } = engine {
        trials.retain(Trial::is_plain);
    }
    match (trials.is_empty(), &args.case) {
        (true, Some(case)) => Err(Failure::Input(format!(
            "--case {case} asks for what the CPU path has not"
        ))),
        _ => Ok(trials),
    }
}

/// What runs this one case again, on the same device.
fn command(args: &VerifyArgs, engine: &EngineChoice, case: &str) -> String {
    let quoted = |word: &str| match word
        .contains(|c: char| !c.is_ascii_alphanumeric() && !"/.-_".contains(c))
    {
        true => format!("'{word}'"),
        false => word.to_owned(),
    };
    let device = match (&*args.device, engine) {
        ("auto", EngineChoice::Gpu(_)) => "gpu",
        ("auto", EngineChoice::Cpu { .. }) => "cpu",
        (device, _) => device,
    };
    let backend = std::env::var("WGPU_BACKEND");
    let backend = backend.map_or(String::new(), |b| format!("WGPU_BACKEND={} ", quoted(&b)));
    let program = std::env::args().next();
    let program = program.as_deref().unwrap_or("wgbn");
    let (program, device) = (quoted(program), quoted(device));
    let tuning = args.tuning.as_ref().map(|path| path.display().to_string());
    let tuning = tuning.map_or(String::new(), |path| format!(" --tuning {}", quoted(&path)));
    format!("{backend}{program} verify --device {device}{tuning} --case {case}")
}

/// Variants of the kernels, by name.
struct Kernels {
    ran: BTreeSet<String>,
    missed: Vec<String>,
}

impl Kernels {
    fn of<'a>(gpus: impl Iterator<Item = &'a Gpu>) -> Self {
        let compiled = gpus.flat_map(|gpu| gpu.context().compiled());
        let ran: BTreeSet<_> = compiled.map(|variant| variant.label()).collect();
        let labels = Variant::all().into_iter().map(|variant| variant.label());
        Self {
            missed: labels.filter(|label| !ran.contains(label)).collect(),
            ran,
        }
    }
}
