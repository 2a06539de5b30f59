//! `wgbn bench`: adapters and the CPU path side by side, over the bandwidth of each.

mod bandwidth;
mod device;
mod gpu_subject;
mod host;
mod inputs;
mod machine;
mod page;
mod report;
mod results;
mod sample;
mod stamps;
mod subject;
pub mod suite;
mod terminal;
mod timer;

use std::time::{Duration, Instant};

use bandwidth::patterns::{Pattern, SUMS};
use bandwidth::{Bandwidth, Meter};
use device::Device;
use indicatif::ProgressBar;
use inputs::Inputs;
use report::{BandwidthRow, DeviceInfo, Report, Row};
use sample::{Clock, Effort};
use suite::{Case, Op, Suite};

use crate::args::{BenchArgs, ClockArg};
use crate::failure::Failure;
use crate::{output, progress, table};

/// Bandwidth is measured for this long each time.
const BANDWIDTH: Effort = Effort {
    budget: Duration::from_millis(60),
    least: 3,
};

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
    let (devices, notes) = device::open(&args.device, clock(args.clock))?;
    for note in notes {
        say!("{note}")?;
    }
    let report = measure(args, &devices)?;
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

/// A device and the meter of its bandwidth.
struct Station<'a> {
    device: &'a Device,
    meter: Box<dyn Meter + 'a>,
    bandwidth: Bandwidth,
}

/// What is left to do, and to spend.
struct Budget {
    seconds: f64,
    rows: usize,
}

impl Budget {
    fn share(&self) -> f64 {
        self.seconds.max(0.0) / self.rows.max(1) as f64
    }

    /// The effort of the next row: its share of what is left.
    fn next(&mut self) -> Effort {
        let share = self.share();
        self.rows = self.rows.saturating_sub(1);
        Effort {
            budget: Duration::from_secs_f64(share),
            least: 3,
        }
    }
}

fn measure(args: &BenchArgs, devices: &[Device]) -> Result<Report, Failure> {
    let mut report = Report {
        about: machine::about(args.quick),
        devices: devices.iter().map(DeviceInfo::of).collect(),
        bandwidth: vec![],
        rows: vec![],
        host_rows: vec![],
        skipped: vec![],
    };
    let jobs = jobs(args, devices, &mut report.skipped);
    let gpus = devices.iter().filter(|d| matches!(d, Device::Gpu(_)));
    let host = args.suite.contains(&Suite::Host);
    let mut rows: usize = jobs.iter().map(|(_, ops)| ops.len() * devices.len()).sum();
    rows += if host { gpus.count() * host::ROWS } else { 0 };
    let bar = progress::bar(rows);
    bar.set_message("bandwidth");
    bar.enable_steady_tick(Duration::from_millis(200));
    let rotation_bytes = report.about.rotation_bytes;
    let mut stations = devices
        .iter()
        .map(|device| {
            Ok(Station {
                device,
                meter: bandwidth::meter(device, rotation_bytes, &|| bar.tick())?,
                bandwidth: Bandwidth::of(&[]),
            })
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    measure_bandwidth(&mut stations, "start", &mut report)?;
    let mut budget = Budget {
        seconds: args.seconds,
        rows,
    };
    for (n, (case, ops)) in jobs.iter().enumerate() {
        if n > 0 {
            let when = format!(
                "before {} {}",
                table::shape(&case.shape),
                case.layout.name()
            );
            measure_bandwidth(&mut stations, &when, &mut report)?;
        }
        measure_case(&stations, case, ops, &mut budget, &bar, &mut report)?;
    }
    for device in devices.iter().filter(|_| host) {
        let Device::Gpu(gpu) = device else { continue };
        bar.set_message(format!("host, {}", device.name()));
        let each = Duration::from_secs_f64(budget.share().min(1.0));
        host::measure(gpu, each, &mut |row| {
            report.host_rows.push(row);
            bar.inc(1);
        })?;
    }
    measure_bandwidth(&mut stations, "end", &mut report)?;
    bar.finish_and_clear();
    Ok(report)
}

/// Shapes and their operations, but for those that do not fit.
fn jobs(args: &BenchArgs, devices: &[Device], skipped: &mut Vec<String>) -> Vec<(Case, Vec<Op>)> {
    let most = machine::most_elements(devices, args.quick);
    let mut jobs = Vec::new();
    for suite in &args.suite {
        let ops = suite.ops(args.ops.as_deref());
        let (fit, large): (Vec<_>, Vec<_>) = suite
            .cases()
            .into_iter()
            .partition(|case| case.elements() <= most);
        if !large.is_empty() {
            let (n, name) = (large.len(), suite.name());
            skipped.push(format!("{n} shapes of {name} beyond {most} elements"));
        }
        jobs.extend(fit.into_iter().map(|case| (case, ops.clone())));
    }
    jobs
}

fn measure_bandwidth(
    stations: &mut [Station<'_>],
    when: &str,
    report: &mut Report,
) -> Result<(), Failure> {
    for station in stations {
        let measured = station.meter.measure(BANDWIDTH)?;
        station.bandwidth = Bandwidth::of(&measured);
        let row = |measured| BandwidthRow {
            device: station.device.name(),
            when: when.to_owned(),
            measured,
        };
        report.bandwidth.extend(measured.into_iter().map(row));
    }
    Ok(())
}

/// Every operation on every device in turn, each checked once.
fn measure_case(
    stations: &[Station<'_>],
    case: &Case,
    ops: &[Op],
    budget: &mut Budget,
    bar: &ProgressBar,
    report: &mut Report,
) -> Result<(), Failure> {
    let inputs = Inputs::new(case)?;
    let rotation_bytes = report.about.rotation_bytes;
    let mut subjects = Vec::new();
    for station in stations {
        let sum: Pattern = station.meter.sum_pattern().unwrap_or(SUMS[0]);
        subjects.push(subject::prepare(
            station.device,
            &inputs,
            rotation_bytes,
            sum,
        )?);
    }
    for &op in ops {
        for (station, subject) in stations.iter().zip(&mut subjects) {
            let device = station.device.name();
            let (shape, layout) = (table::shape(&case.shape), case.layout.name());
            bar.set_message(format!("{shape} {layout} {}, {device}", op.name()));
            let start = Instant::now();
            let timing = subject.time(op, budget.next())?;
            budget.seconds -= start.elapsed().as_secs_f64();
            let checked =
                results::check(&inputs, op, &subject.results(op)?).map_err(|failure| {
                    failure.map(|text| format!("{text} ({shape} {layout} {}, {device})", op.name()))
                })?;
            report.rows.push(Row {
                case: case.clone(),
                device,
                op,
                timing,
                bandwidth: station.bandwidth,
                sets: subject.sets(),
                checked,
            });
            bar.inc(1);
        }
    }
    Ok(())
}
