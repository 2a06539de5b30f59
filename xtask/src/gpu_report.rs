//! `cargo xtask gpu-report OUT`: everything that only a GPU can tell, as one page and one JSON file.
//!
//! It needs the programs alone, and neither cargo nor this repository: `xtask gpu-report OUT --wgbn PROGRAM` runs where
//! the two were carried to. PyTorch's program is part of this one.

mod page;
mod predicted;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use crate::command::command_line;
use crate::peers::find_pytorch;
use crate::{Failed, Steps, build_program};

const PYTORCH: &str = include_str!("../../benches/peers/pytorch.py");
/// Of the JSON file.
const SCHEMA: u64 = 1;

pub struct Options {
    out: PathBuf,
    /// Built by cargo where none is named.
    wgbn: Option<PathBuf>,
    device: String,
    suite: String,
    /// For each benchmark; each program takes some more to prepare and to check.
    seconds: f64,
    /// Small tensors alone, to see that all works.
    quick: bool,
}

impl Options {
    /// `None` for what cannot be understood.
    pub fn parse(args: &[&str]) -> Option<Self> {
        let (out, mut rest) = args.split_first()?;
        if out.starts_with('-') {
            return None;
        }
        let mut options = Self {
            // Programs run in that folder.
            out: std::path::absolute(out).ok()?,
            wgbn: None,
            device: "gpu".to_owned(),
            suite: "resnet50".to_owned(),
            seconds: 40.0,
            quick: false,
        };
        while let Some((name, more)) = rest.split_first() {
            if *name == "--quick" {
                options.quick = true;
                rest = more;
                continue;
            }
            let (value, more) = more.split_first()?;
            match *name {
                "--wgbn" => options.wgbn = Some(std::path::absolute(value).ok()?),
                "--device" => (*value).clone_into(&mut options.device),
                "--suite" => (*value).clone_into(&mut options.suite),
                "--seconds" => {
                    let seconds = value.parse::<f64>().ok();
                    options.seconds = seconds.filter(|s| (0.0..1e6).contains(s))?;
                }
                _ => return None,
            }
            rest = more;
        }
        Some(options)
    }
}

/// What one program did.
struct Ran {
    /// As one would type it.
    command: String,
    seconds: f64,
    /// What it printed.
    printed: String,
    /// What it wrote, where it writes JSON.
    json: Value,
    /// Why it failed.
    failure: Option<String>,
}

impl Ran {
    fn as_json(&self, name: &str) -> Value {
        json!({
            "name": name, "command": self.command, "seconds": self.seconds, "failure": self.failure,
            "printed": self.printed, "result": self.json,
        })
    }
}

/// Runs a program in `out`; `file` is what it writes there, if anything. One that fails is no reason to leave out the
/// next: the report says what failed.
fn run(out: &Path, mut command: Command, file: Option<&str>) -> Ran {
    let line = command_line(&command);
    println!("$ {line}");
    let start = Instant::now();
    if let Some(file) = file {
        // An older file does not pass for what is written now.
        fs::remove_file(out.join(file)).ok();
    }
    let output = command.current_dir(out).stdin(Stdio::null()).output();
    let seconds = start.elapsed().as_secs_f64();
    let (printed, mut failure) = match output {
        Err(error) => (String::new(), Some(error.to_string())),
        Ok(output) => {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let why = format!("ended with {}: {}", output.status, text(&output.stderr));
            (
                text(&output.stdout),
                (!output.status.success()).then_some(why),
            )
        }
    };
    let mut json = Value::Null;
    if let Some(file) = file {
        let read = fs::read(out.join(file)).map_err(|error| error.to_string());
        let read = read.and_then(|text| serde_json::from_slice(&text).map_err(|e| e.to_string()));
        match read {
            Ok(value) => json = value,
            Err(error) => failure = failure.or(Some(format!("{file}: {error}"))),
        }
    }
    if let Some(failure) = &failure {
        println!("failed: {failure}");
    }
    Ran {
        command: line,
        seconds,
        printed,
        json,
        failure,
    }
}

pub fn run_all(steps: &mut Steps, options: &Options) -> Result<(), Failed> {
    let wgbn = match &options.wgbn {
        Some(wgbn) => wgbn.clone(),
        None => steps.run("build wgbn", || {
            let args = ["build", "--release", "--locked", "--package", "wgbn"];
            build_program(&mut crate::cargo(args), "wgbn")
        })?,
    };
    let out = &options.out;
    steps.run("folder", || {
        if !wgbn.is_file() {
            return Err(format!("{} is no program", wgbn.display()));
        }
        fs::create_dir_all(out).map_err(|e| format!("cannot make {}: {e}", out.display()))
    })?;
    let ours = |args: &[&str]| {
        let mut command = Command::new(&wgbn);
        command.args(args);
        command
    };
    let on = ["--device", &options.device];
    let seconds = options.seconds.to_string();
    let mut bench = vec!["bench", "--suite", &options.suite, "--element", "f32,f16"];
    bench.extend(["--ops", "train,inference,backward", "--seconds", &seconds]);
    bench.extend(on);
    if options.quick {
        bench.push("--quick");
    }
    let with = |more: &[&str]| ours(&[&bench[..], more].concat());

    let mut ran = |name: &'static str, command: Command, file: Option<&str>| {
        // A program that fails is part of the report.
        steps.run(name, || Ok((name, run(out, command, file))))
    };
    let mut parts = vec![
        ran("info", ours(&["info", "--json"]), None)?,
        ran(
            "verify",
            ours(&[&["verify", "--quick", "--json", "verify.json"], &on[..]].concat()),
            Some("verify.json"),
        )?,
        ran("bench", with(&["--json", "bench.json"]), Some("bench.json"))?,
        ran(
            "tune",
            ours(
                &[
                    &["tune", "--seconds", &seconds, "-o", "tuning.json"],
                    &on[..],
                ]
                .concat(),
            ),
            Some("tuning.json"),
        )?,
        ran(
            "bench, tuned",
            with(&["--tuning", "tuning.json", "--json", "tuned.json"]),
            Some("tuned.json"),
        )?,
    ];
    match find_pytorch() {
        Ok(python) => {
            fs::write(out.join("pytorch.py"), PYTORCH).map_err(|error| Failed {
                step: "PyTorch".to_owned(),
                reason: format!("cannot write pytorch.py: {error}"),
            })?;
            let mut command = Command::new(python);
            command.args([
                "pytorch.py",
                "--suite",
                &options.suite,
                "--seconds",
                &seconds,
            ]);
            command.args(["--json", "pytorch.json"]);
            parts.push(ran("PyTorch", command, Some("pytorch.json"))?);
        }
        Err(reason) => println!("PyTorch is left out: {reason}"),
    }
    steps.run("report", || {
        let report = report(&wgbn, &parts);
        let write = |name: &str, text: &str| {
            let file = out.join(name);
            fs::write(&file, text).map_err(|e| format!("cannot write {}: {e}", file.display()))
        };
        write("gpu-report.json", &format!("{report:#}\n"))?;
        write("gpu-report.html", &page::html(&report))?;
        println!(
            "gpu-report.html and gpu-report.json are in {}",
            out.display()
        );
        let failed = parts.iter().filter(|(_, ran)| ran.failure.is_some());
        let failed: Vec<_> = failed.map(|(name, _)| *name).collect();
        match failed.is_empty() {
            true => Ok(()),
            false => Err(format!("these failed: {}", failed.join("; "))),
        }
    })
}

/// Everything in one object: what each program did, and a line for each row that was measured.
fn report(wgbn: &Path, parts: &[(&'static str, Ran)]) -> Value {
    let of = |name: &str| {
        let part = parts.iter().find(|(part, _)| *part == name);
        part.map_or(&Value::Null, |(_, ran)| &ran.json)
    };
    let info = parts.iter().find(|(part, _)| *part == "info");
    let info = info.map_or("", |(_, ran)| &ran.printed);
    let machine = predicted::machine(info, &of("bench")["devices"][0]);
    json!({
        "schema": SCHEMA,
        "program": "gpu-report",
        "date": of("bench")["date"],
        "commit": of("bench")["commit"],
        "device": of("bench")["devices"][0],
        "expected_on": machine,
        "rows": predicted::rows(wgbn, &machine, [of("bench"), of("bench, tuned"), of("PyTorch")]),
        "parts": parts.iter().map(|(name, ran)| ran.as_json(name)).collect::<Value>(),
    })
}
