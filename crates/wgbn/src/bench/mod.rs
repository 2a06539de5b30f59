//! `wgbn bench`: adapters and the CPU path side by side, over the bandwidth of each.

pub mod bandwidth;
mod cpu_subject;
pub mod device;
pub mod gpu_subject;
mod gpu_tensors;
mod host;
pub mod inputs;
mod json;
pub mod machine;
mod measure;
pub mod op;
mod page;
mod part;
mod report;
pub mod results;
pub mod sample;
mod stamps;
pub mod subject;
pub mod suite;
mod terminal;
pub mod timer;

use device::Device;
use sample::Clock;
use suite::Suite;

use crate::args::{BenchArgs, ClockArg, ElementArg};
use crate::failure::Failure;
use crate::output;

pub fn run(args: &BenchArgs) -> Result<(), Failure> {
    let outputs = [&args.json, &args.html];
    for path in outputs.into_iter().flatten() {
        output::check_place(path)?;
    }
    if args.json.is_some() && args.json == args.html {
        return Err(Failure::Input(
            "--json and --html name the same file".to_owned(),
        ));
    }
    let idle = |suite: &&Suite| **suite != Suite::Host && suite.ops(args.ops.as_deref()).is_empty();
    if let Some(suite) = args.suite.iter().find(idle) {
        return Err(Failure::Input(format!(
            "the suite {} has none of these operations",
            suite.name()
        )));
    }
    let single = |element: &&ElementArg| **element != ElementArg::F32;
    if let Some(halves) = args.element.iter().find(single)
        && args.suite.contains(&Suite::Reductions)
    {
        return Err(Failure::Input(format!(
            "the suite reductions is of f32 alone, not of {}",
            halves.element().name()
        )));
    }
    let (devices, notes) = device::open(&args.device, clock(args.clock), args.tuning.as_deref())?;
    for note in notes {
        say!("{note}")?;
    }
    let adapter = devices
        .iter()
        .any(|device| matches!(device, Device::Gpu(_)));
    if let Some(halves) = args.element.iter().find(single)
        && !adapter
    {
        return Err(Failure::Input(format!(
            "the CPU path computes in f32: --element {} needs an adapter",
            halves.element().name()
        )));
    }
    let report = measure::measure(args, &devices)?;
    terminal::print(&report)?;
    if let Some(path) = &args.json {
        output::write_text(path, &format!("{:#}\n", report.json()))?;
    }
    if let Some(path) = &args.html {
        output::write_text(path, &page::html(&report))?;
    }
    Ok(())
}

fn clock(arg: ClockArg) -> Option<Clock> {
    match arg {
        ClockArg::Auto => None,
        ClockArg::Timestamps => Some(Clock::Timestamps),
        ClockArg::Wall => Some(Clock::Wall),
    }
}
