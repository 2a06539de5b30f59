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
        let outcomes = outcomes
            .map_err(|e| e.map(|text| format!("{text} ({})", command(args, trial.number))))?;
        for outcome in outcomes {
            rows.add(trial, outcome);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let seconds = start.elapsed().as_secs_f64();
    let kernels = Kernels::of(&gpus);

    if let Some(note) = engine.note() {
        say!("{note}")?;
    }
    let cases = trials.len();
    let name = engine.name();
    say!("{cases} cases against the f64 reference, on {name}, in {seconds:.0} s\n")?;
    say::text(format_args!("{}", rows.table()))?;
    match &engine {
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
        say!("\n{failed}\n  again: {}", command(args, failed.case))?;
    }
    if let Some(path) = &args.json {
        let report = json!({
            "device": name, "note": engine.note(), "quick": args.quick, "cases": cases,
            "seconds": seconds, "rows": rows.as_json(),
            "failures": rows.failures().iter().map(|failed| json!({
                "case": failed.case, "what": failed.to_string(), "again": command(args, failed.case),
            })).collect::<Value>(),
            "kernels": { "ran": kernels.ran, "not": kernels.missed },
        });
        output::write_text(path, &format!("{report:#}\n"))?;
    }
    match rows.failures().len() {
        0 => Ok(()),
        n => Err(Failure::Check(format!(
            "{n} results are beyond their bounds"
        ))),
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

/// What runs this one case again.
fn command(args: &VerifyArgs, case: usize) -> String {
    let device = match args.device.contains(|c: char| !c.is_ascii_alphanumeric()) {
        true => format!("'{}'", args.device),
        false => args.device.clone(),
    };
    format!("wgbn verify --device {device} --case {case}")
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
