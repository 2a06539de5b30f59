//! The run: bandwidth, then every shape on every device in turn.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use super::bandwidth::patterns::{Pattern, SUMS};
use super::bandwidth::{self, Bandwidth, Meter};
use super::cpu_subject::CpuSubject;
use super::device::Device;
use super::gpu_subject::GpuSubject;
use super::inputs::Inputs;
use super::op::Op;
use super::report::{BandwidthRow, DeviceInfo, Report, Row};
use super::sample::Effort;
use super::subject::Subject;
use super::suite::{Case, Suite};
use super::{host, machine, results};
use wgpu_batchnorm::Element;

use crate::args::BenchArgs;
use crate::failure::Failure;
use crate::{progress, table};

/// Bandwidth is measured for this long each time.
const BANDWIDTH: Effort = Effort {
    budget: Duration::from_millis(60),
    least: 3,
};

/// A device and the meter of its bandwidth.
struct Station<'a> {
    device: &'a Device,
    meter: Box<dyn Meter + 'a>,
    bandwidth: Bandwidth,
}

/// Lays the tensors of `inputs` on `device`.
fn prepare<'a>(
    device: &'a Device,
    inputs: &'a Inputs,
    rotation_bytes: u64,
    sum: Pattern,
) -> Result<Box<dyn Subject + 'a>, Failure> {
    let sets = inputs.sets(rotation_bytes);
    Ok(match device {
        Device::Gpu(device) => Box::new(GpuSubject::new(device, inputs, sets, sum)?),
        Device::Cpu => Box::new(CpuSubject::new(inputs, sets)?),
    })
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

pub fn measure(args: &BenchArgs, devices: &[Device]) -> Result<Report, Failure> {
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
    let on = |case: &Case| devices.iter().filter(|device| device.takes(case)).count();
    let mut rows: usize = jobs.iter().map(|(case, ops)| ops.len() * on(case)).sum();
    if host {
        let gpus = gpus.count();
        rows += gpus * host::ROWS;
        if gpus == 0 {
            let why = "the suite host, which needs an adapter".to_owned();
            report.skipped.push(why);
        }
    }
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
    measure_bandwidth(0, &mut stations, "start", &mut report)?;
    let mut budget = Budget {
        seconds: args.seconds,
        rows,
    };
    let mut since = 0;
    for (n, (case, ops)) in jobs.iter().enumerate() {
        if n > 0 {
            let when = format!("before {} {}", table::shape(&case.shape), case.stored_as());
            measure_bandwidth(since, &mut stations, &when, &mut report)?;
        }
        since = report.rows.len();
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
    measure_bandwidth(since, &mut stations, "end", &mut report)?;
    bar.finish_and_clear();
    Ok(report)
}

/// Each suite with each element.
fn suites(args: &BenchArgs) -> impl Iterator<Item = (Suite, Element)> {
    let elements = args.element.iter().map(|element| element.element());
    elements.flat_map(|element| args.suite.iter().map(move |&suite| (suite, element)))
}

/// Shapes and their operations, but for those that do not fit.
fn jobs(args: &BenchArgs, devices: &[Device], skipped: &mut Vec<String>) -> Vec<(Case, Vec<Op>)> {
    let most = machine::most_elements(devices, args.quick);
    let mut jobs = Vec::new();
    for (suite, element) in suites(args) {
        let ops = suite.ops(args.ops.as_deref());
        let (fit, large): (Vec<_>, Vec<_>) = suite
            .cases()
            .into_iter()
            .map(|case| Case { element, ..case })
            .partition(|case| case.elements() <= most);
        if !large.is_empty() {
            let (n, name) = (large.len(), suite.name());
            let line = format!("{n} shapes of {name} beyond {most} elements");
            if !skipped.contains(&line) {
                skipped.push(line);
            }
        }
        jobs.extend(fit.into_iter().map(|case| (case, ops.clone())));
    }
    jobs
}

/// Measures every device again. The rows `since` then get the better of the measurements before
/// and after them: one that was disturbed makes no floor.
fn measure_bandwidth(
    since: usize,
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
        let name = station.device.name();
        let mine = report.rows[since..].iter_mut().filter(|r| r.device == name);
        mine.for_each(|row| row.bandwidth = row.bandwidth.better(station.bandwidth));
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
    let stations: Vec<_> = stations.iter().filter(|s| s.device.takes(case)).collect();
    for station in &stations {
        let sum: Pattern = station.meter.sum_pattern().unwrap_or(SUMS[0]);
        subjects.push(prepare(station.device, &inputs, rotation_bytes, sum)?);
    }
    for &op in ops {
        for (station, subject) in stations.iter().zip(&mut subjects) {
            let device = station.device.name();
            let (shape, layout) = (table::shape(&case.shape), case.stored_as());
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
