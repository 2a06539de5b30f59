//! Times Burn's `BatchNorm` on its wgpu backend and checks each result in f64.
//!
//! `../README.md` says what is measured and how to read the JSON.

mod check;
mod host;
mod layer;
mod suite;
mod timing;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use burn::tensor::{Device, DeviceKind};
use serde_json::{Value, json};

use host::Adapter;
use layer::Bench;
use suite::{Op, Suite};
use timing::Times;

/// Of the JSON; `crates/bench-record` has the check of it.
const SCHEMA: u64 = 1;

/// What a result may be off, as a fraction of its scale, on ordinary data.
const BOUND: f64 = 1e-4;

const USAGE: &str = "\
usage: burn-peer [--suite resnet50,small] [--ops train,inference,step]
                 [--shape 4096x512] [--seconds S] [--json FILE]

  --suite    the shapes (default resnet50)
  --ops      what to time (default all three)
  --shape    only this one of the shapes
  --seconds  for all rows together, warm-up included (default 300);
             three runs a row at least, however long they take
  --json     file to write (default standard output)
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--help") {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let options = match Options::parse(&args) {
        Ok(options) => options,
        Err(problem) => {
            eprint!("burn-peer: {problem}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(wrong) => {
            eprintln!("burn-peer: {wrong} results are wrong");
            ExitCode::FAILURE
        }
        Err(problem) => {
            eprintln!("burn-peer: {problem}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    suites: Vec<Suite>,
    ops: Vec<Op>,
    shape: Option<String>,
    seconds: f64,
    json: Option<String>,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self, String> {
        let mut options = Self {
            suites: vec![Suite::ResNet50],
            ops: Op::ALL.to_vec(),
            shape: None,
            seconds: 300.0,
            json: None,
        };
        for pair in args.chunks(2) {
            let [name, value] = pair else {
                return Err(format!("{} needs a value", pair[0]));
            };
            let unknown = |part: &str| format!("{name} does not know `{part}`");
            match name.as_str() {
                "--suite" => {
                    let parse = |part: &str| Suite::parse(part).ok_or_else(|| unknown(part));
                    options.suites = value.split(',').map(parse).collect::<Result<_, _>>()?;
                }
                "--ops" => {
                    let parse = |part: &str| Op::parse(part).ok_or_else(|| unknown(part));
                    options.ops = value.split(',').map(parse).collect::<Result<_, _>>()?;
                }
                "--shape" => options.shape = Some(value.clone()),
                "--seconds" => options.seconds = value.parse().map_err(|_| unknown(value))?,
                "--json" => options.json = Some(value.clone()),
                _ => return Err(format!("cannot understand `{name}`")),
            }
        }
        Ok(options)
    }
}

/// The whole program; gives how many results were wrong.
fn run(options: &Options) -> Result<usize, String> {
    let device = Device::wgpu(DeviceKind::DefaultDevice);
    let adapter = Adapter::of(&device)?;
    eprintln!("Burn on {} ({})", adapter.name, adapter.backend);

    let shapes: Vec<(Suite, &[usize])> = options
        .suites
        .iter()
        .flat_map(|&suite| suite.shapes().iter().map(move |&shape| (suite, shape)))
        .filter(|(_, shape)| {
            options
                .shape
                .as_ref()
                .is_none_or(|wanted| *wanted == name(shape))
        })
        .collect();
    if shapes.is_empty() {
        return Err("the suites have no such shape".to_owned());
    }
    let deadline = Instant::now() + Duration::from_secs_f64(options.seconds);
    let mut left = shapes.len() * options.ops.len();
    let (mut rows, mut bandwidth, mut wrong) = (Vec::new(), Vec::new(), 0);
    for (suite, shape) in shapes {
        let mut share = || {
            let seconds = deadline.saturating_duration_since(Instant::now());
            left -= 1;
            seconds / (left + 1) as u32
        };
        let mut job = Job {
            suite,
            shape,
            ops: &options.ops,
            adapter: &adapter,
            share: &mut share,
            rows: &mut rows,
        };
        let (multiply, misses) = match *shape {
            [a, b] => job.measure(&device, [a, b]),
            [a, b, c] => job.measure(&device, [a, b, c]),
            [a, b, c, d] => job.measure(&device, [a, b, c, d]),
            _ => unreachable!("the suites have two to four axes"),
        };
        bandwidth.push(multiply);
        wrong += misses;
    }

    let report = json!({
        "schema": SCHEMA,
        "program": "burn",
        "version": host::burn_version(),
        "commit": null,
        "date": host::now(),
        "host": { "threads": host::threads(), "cpu": host::cpu() },
        "devices": [adapter.json()],
        "bandwidth": bandwidth,
        "rows": rows,
        "skipped": [
            "nhwc: Burn's BatchNorm takes the channels at axis 1",
            "backward: Burn's layer has no backward of its own; step is forward and backward through autodiff",
        ],
    });
    let text = format!("{report:#}\n");
    match &options.json {
        Some(file) => {
            std::fs::write(file, text).map_err(|e| format!("cannot write {file}: {e}"))?
        }
        None => print!("{text}"),
    }
    Ok(wrong)
}

/// One shape's rows.
struct Job<'a> {
    suite: Suite,
    shape: &'a [usize],
    ops: &'a [Op],
    adapter: &'a Adapter,
    /// The time for the next row.
    share: &'a mut dyn FnMut() -> Duration,
    rows: &'a mut Vec<Value>,
}

impl Job<'_> {
    /// Gives the bandwidth of Burn's own multiplication, and how many results
    /// were wrong.
    fn measure<const D: usize>(&mut self, device: &Device, shape: [usize; D]) -> (Value, usize) {
        let bench = Bench::new(device, shape, self.adapter.cache_bytes());
        let elements: usize = shape.iter().product();
        let multiply = bench.time_multiply(Duration::from_millis(500));
        let bytes = 8 * elements;
        let bandwidth = json!({
            "device": self.adapter.name,
            "what": "Burn's own x * 1.5",
            "gb_per_s": rate(bytes, &multiply),
            "bytes": bytes,
        });
        let mut wrong = 0;
        for &op in self.ops {
            let error = bench.worst_error(op);
            let times = bench.time(op, (self.share)());
            let ideal = op.traffic() * 4 * elements;
            let right = error <= BOUND; // NaN is not
            let word = if right { "worst error" } else { "WRONG: error" };
            let checked = format!("{word} {error:.1e} of the f64 result's scale");
            wrong += usize::from(!right);
            eprintln!(
                "{} {}: {:.3} ms, {:.2} GB/s, {checked}",
                op.name(),
                name(self.shape),
                times.median,
                rate(ideal, &times),
            );
            self.rows.push(json!({
                "engine": "burn",
                "suite": self.suite.name(),
                "device": self.adapter.name,
                "op": op.name(),
                "shape": self.shape,
                "layout": if D == 2 { "nc" } else { "nchw" },
                "elements": elements,
                "ideal_bytes": ideal,
                "median_ms": times.median,
                "low_ms": times.low,
                "high_ms": times.high,
                "runs": times.runs,
                "calls_a_run": times.calls,
                "sets": bench.sets(),
                "clock": "wall",
                "gb_per_s": rate(ideal, &times),
                "of_copy": null,
                "checked": checked,
            }));
        }
        (bandwidth, wrong)
    }
}

/// As in `4096x512`.
fn name(shape: &[usize]) -> String {
    shape
        .iter()
        .map(usize::to_string)
        .collect::<Vec<_>>()
        .join("x")
}

fn rate(bytes: usize, times: &Times) -> f64 {
    bytes as f64 / times.median / 1e6
}
