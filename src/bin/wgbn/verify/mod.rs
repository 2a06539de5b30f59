//! `wgbn verify`: every operation, memory pattern, element, option and kernel variant, on ordinary,
//! ill-conditioned and exact data, against the reference.

mod image;
mod rows;
mod sweep;
mod trials;

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::{Value, json};
use wgpu_batchnorm::shaders::Variant;
use wgpu_batchnorm::{Gpu, adapters_blocking, wgpu};

use crate::args::VerifyArgs;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::{output, progress, say, table};
use rows::Rows;
use trials::{Cut, SIZES, Trial};

pub fn run(args: &VerifyArgs) -> Result<(), Failure> {
    if let Some(path) = &args.json {
        output::check_place(path)?;
    }
    let engine = Engine::open(&args.device)?;
    let gpus = match &engine {
        Engine::Cpu { .. } => vec![],
        Engine::Gpu(gpu) => SIZES
            .iter()
            .map(|(_, cut)| match *cut {
                Cut::Own => Ok(gpu.clone()),
                Cut::By(tuning) => Ok(gpu.with_tuning(tuning)?),
                Cut::Bindings(bytes) => narrow(gpu, bytes),
            })
            .collect::<Result<Vec<Gpu>, Failure>>()?,
    };
    let trials = chosen(args, &engine)?;
    let start = Instant::now();
    let bar = progress::bar(trials.len());
    let mut rows = Rows::default();
    for trial in &trials {
        bar.set_message(table::shape(trial.shape));
        let outcomes = sweep::run(&engine, &gpus, trial);
        let outcomes = outcomes.map_err(|e| {
            e.map(|text| format!("{text} ({})", command(args, &engine, trial.number)))
        })?;
        for outcome in outcomes {
            rows.add(trial, outcome);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let seconds = start.elapsed().as_secs_f64();
    let sweep = Sweep {
        engine,
        cases: trials.len(),
        seconds,
        rows,
        kernels: Kernels::of(&gpus),
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

/// A sweep that came to its end.
struct Sweep {
    engine: Engine,
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
            Engine::Cpu { .. } => {
                say!(
                    "\nthe CPU path has f32 alone: no halves, residuals, activations, parts or images"
                )?;
            }
            Engine::Gpu(_) if args.case.is_none() => {
                let (ran, all) = (kernels.ran.len(), Variant::all().len());
                say!("\n{ran} of {all} kernel variants ran")?;
                // A quick run leaves many out, and need not say which.
                if !args.quick && !kernels.missed.is_empty() {
                    say!("not: {}", kernels.missed.join(", "))?;
                }
            }
            Engine::Gpu(_) => {}
        }
        for failed in rows.failures() {
            let again = command(args, engine, failed.case);
            say!("\n{failed}\n  again: {again}")?;
        }
        let Some(path) = &args.json else {
            return Ok(());
        };
        let failures = rows.failures().iter().map(|failed| {
            let again = command(args, engine, failed.case);
            json!({ "case": failed.case, "what": failed.to_string(), "again": again })
        });
        let report = json!({
            "device": name, "note": engine.note(), "quick": args.quick, "cases": cases,
            "seconds": seconds, "rows": rows.as_json(), "failures": failures.collect::<Value>(),
            "kernels": { "ran": kernels.ran, "not": kernels.missed },
        });
        output::write_text(path, &format!("{report:#}\n"))
    }
}

/// Another device of the same adapter, which binds so few bytes at most.
fn narrow(gpu: &Gpu, bytes: u64) -> Result<Gpu, Failure> {
    let machine = |e: String| Failure::Machine(format!("a device with small bindings: {e}"));
    let same = |adapter: &wgpu::Adapter| adapter.get_info() == *gpu.info();
    let adapter = adapters_blocking().into_iter().find(same);
    let adapter = adapter.ok_or_else(|| machine("the adapter is gone".to_owned()))?;
    let request = wgpu::DeviceDescriptor {
        required_limits: wgpu::Limits {
            max_storage_buffer_binding_size: bytes,
            ..adapter.limits()
        },
        ..Default::default()
    };
    let device = pollster::block_on(adapter.request_device(&request));
    let (device, queue) = device.map_err(|e| machine(e.to_string()))?;
    Ok(Gpu::with_device(device, queue)?)
}

/// The trials that are asked for, as far as this engine has what they need.
fn chosen(args: &VerifyArgs, engine: &Engine) -> Result<Vec<Trial>, Failure> {
    let mut trials = trials::all();
    let len = trials.len();
    if let Some(case) = args.case {
        trials.retain(|trial| trial.number == case);
        if trials.is_empty() {
            return Err(Failure::Input(format!(
                "--case {case}: there are 1 to {len}"
            )));
        }
    }
    trials.retain(|trial| trial.quick || !args.quick);
    if let Engine::Cpu { .. } = engine {
        trials.retain(Trial::is_plain);
    }
    match (trials.is_empty(), args.case) {
        (true, Some(case)) => Err(Failure::Input(format!(
            "--case {case} asks for what the CPU path has not"
        ))),
        _ => Ok(trials),
    }
}

/// What runs this one case again, on the same device.
fn command(args: &VerifyArgs, engine: &Engine, case: usize) -> String {
    let quoted = |word: &str| match word
        .contains(|c: char| !c.is_ascii_alphanumeric() && !"/.-_".contains(c))
    {
        true => format!("'{word}'"),
        false => word.to_owned(),
    };
    let device = match (&*args.device, engine) {
        ("auto", Engine::Gpu(_)) => "gpu",
        ("auto", Engine::Cpu { .. }) => "cpu",
        (device, _) => device,
    };
    let backend = std::env::var("WGPU_BACKEND");
    let backend = backend.map_or(String::new(), |b| format!("WGPU_BACKEND={} ", quoted(&b)));
    let program = std::env::args().next();
    let program = program.as_deref().unwrap_or("wgbn");
    let (program, device) = (quoted(program), quoted(device));
    format!("{backend}{program} verify --device {device} --case {case}")
}

/// Variants of the kernels, by name.
struct Kernels {
    ran: BTreeSet<String>,
    missed: Vec<String>,
}

impl Kernels {
    fn of(gpus: &[Gpu]) -> Self {
        let compiled = gpus.iter().flat_map(|gpu| gpu.context().compiled());
        let ran: BTreeSet<_> = compiled.map(|variant| variant.label()).collect();
        let labels = Variant::all().into_iter().map(|variant| variant.label());
        Self {
            missed: labels.filter(|label| !ran.contains(label)).collect(),
            ran,
        }
    }
}
