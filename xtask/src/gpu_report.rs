//! `cargo xtask gpu-report OUT`: everything that only a GPU can tell, as one page and one JSON file.
//!
//! It needs the programs alone, and neither cargo nor this repository: `xtask gpu-report OUT --wgbn PROGRAM` runs where
//! the two were carried to. PyTorch's program is part of this one.

mod page;
mod predicted;

use std::fs;
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::command::command_line;
use crate::peers::find_pytorch;
use crate::{Failed, Steps, build_program};

const PYTORCH: &str = include_str!("../../benches/peers/pytorch.py");
/// Of the JSON file.
const SCHEMA: u64 = 1;
/// For all programs together. One that is not done then is stopped, and those behind it are left out.
const LIMIT: Duration = Duration::from_secs(8 * 60);
/// The suites that every program here knows.
const SUITES: [&str; 2] = ["resnet50", "small"];
/// How `wgbn` ends where it was asked for what is not there, such as a device.
const REFUSED: i32 = 2;

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
    /// What is wrong, where something cannot be understood.
    pub fn parse(args: &[&str]) -> Result<Self, String> {
        let whole = |path: &str| std::path::absolute(path).map_err(|e| format!("{path}: {e}"));
        let Some((out, mut rest)) = args.split_first().filter(|(out, _)| !out.starts_with('-'))
        else {
            return Err("gpu-report needs a folder for its files first".to_owned());
        };
        let mut options = Self {
            // Programs run in that folder.
            out: whole(out)?,
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
            let known = ["--wgbn", "--device", "--suite", "--seconds"];
            if !known.contains(name) {
                return Err(format!("gpu-report does not know {name}"));
            }
            let Some((value, more)) = more.split_first() else {
                return Err(format!("{name} needs a value"));
            };
            match (*name, *value) {
                ("--wgbn", program) => options.wgbn = Some(whole(program)?),
                ("--device", "cpu" | "auto" | "both") => {
                    return Err(format!(
                        "--device {value}: expected gpu, or a part of an adapter's name"
                    ));
                }
                ("--device", device) => device.clone_into(&mut options.device),
                ("--suite", suite) if SUITES.contains(&suite) => {
                    suite.clone_into(&mut options.suite)
                }
                ("--suite", _) => {
                    return Err(format!("--suite {value}: expected {}", SUITES.join(" or ")));
                }
                _ => {
                    let seconds = value.parse::<f64>().ok();
                    let seconds = seconds.filter(|s| (0.0..1e6).contains(s));
                    options.seconds =
                        seconds.ok_or(format!("--seconds {value}: expected a number"))?;
                }
            }
            rest = more;
        }
        match &options.wgbn {
            Some(wgbn) if !wgbn.is_file() => {
                return Err(format!("--wgbn: {} is no program", wgbn.display()));
            }
            None if std::env::var_os("CARGO_MANIFEST_DIR").is_none() => {
                return Err("--wgbn PROGRAM is needed where cargo does not run this".to_owned());
            }
            _ => {}
        }
        if options.out.is_file() {
            return Err(format!(
                "{} is a file, expected a folder",
                options.out.display()
            ));
        }
        Ok(options)
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
    /// Whether it was asked for what is not there.
    refused: bool,
}

impl Ran {
    fn as_json(&self, name: &str) -> Value {
        json!({
            "name": name, "command": self.command, "seconds": self.seconds, "failure": self.failure,
            "printed": self.printed, "result": self.json,
        })
    }
}

/// How a program ended, and what it printed on both streams; it is stopped at `deadline`.
fn ended(command: &mut Command, deadline: Instant) -> Result<(ExitStatus, [String; 2]), String> {
    let said = |error: std::io::Error| error.to_string();
    let mut streams = [
        tempfile::tempfile().map_err(said)?,
        tempfile::tempfile().map_err(said)?,
    ];
    let [out, err] = &streams;
    command.stdout(out.try_clone().map_err(said)?);
    command.stderr(err.try_clone().map_err(said)?);
    let mut child = command.stdin(Stdio::null()).spawn().map_err(said)?;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(said)? {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().map_err(said)?;
            child.wait().map_err(said)?;
            return Err(format!(
                "stopped after {} s for all programs",
                LIMIT.as_secs()
            ));
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let mut texts = [String::new(), String::new()];
    for (stream, text) in streams.iter_mut().zip(&mut texts) {
        let mut bytes = Vec::new();
        stream.rewind().map_err(said)?;
        stream.read_to_end(&mut bytes).map_err(said)?;
        *text = String::from_utf8_lossy(&bytes).into_owned();
    }
    Ok((status, texts))
}

/// Runs a program in `out`; `file` is what it writes there, if anything. One that fails is no reason to leave out the
/// next: the report says what failed.
fn run(out: &Path, mut command: Command, file: Option<&str>, deadline: Instant) -> Ran {
    let line = command_line(&command);
    println!("$ {line}");
    let start = Instant::now();
    if let Some(file) = file {
        // An older file does not pass for what is written now.
        fs::remove_file(out.join(file)).ok();
    }
    let ended = match start > deadline {
        true => Err("left out: the time for all programs is over".to_owned()),
        false => ended(command.current_dir(out), deadline),
    };
    let seconds = start.elapsed().as_secs_f64();
    let (printed, mut failure, refused) = match ended {
        Err(error) => (String::new(), Some(error), false),
        Ok((status, [printed, complaints])) => {
            let why = format!("ended with {status}: {}", complaints.trim_end());
            let failure = (!status.success()).then_some(why);
            (printed, failure, status.code() == Some(REFUSED))
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
    Ran {
        command: line,
        seconds,
        printed,
        json,
        failure,
        refused,
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

    let verify = [&["verify", "--quick", "--json", "verify.json"], &on[..]].concat();
    let tune = [
        &["tune", "--seconds", &seconds, "-o", "tuning.json"],
        &on[..],
    ]
    .concat();
    let mut programs = vec![
        ("info", ours(&["info", "--json"]), None),
        ("verify", ours(&verify), Some("verify.json")),
        ("bench", with(&["--json", "bench.json"]), Some("bench.json")),
        ("tune", ours(&tune), Some("tuning.json")),
        (
            "bench, tuned",
            with(&["--tuning", "tuning.json", "--json", "tuned.json"]),
            Some("tuned.json"),
        ),
    ];
    let mut left_out = Vec::new();
    match find_pytorch() {
        Ok(python) => {
            fs::write(out.join("pytorch.py"), PYTORCH).map_err(|error| Failed {
                step: "PyTorch".to_owned(),
                reason: format!("cannot write pytorch.py: {error}"),
            })?;
            let mut command = Command::new(python);
            command.args(["pytorch.py", "--suite", &options.suite, "--devices", "cuda"]);
            command.args(["--element", "f32,f16", "--ops", "train,inference,backward"]);
            command.args(["--seconds", &seconds, "--json", "pytorch.json"]);
            programs.push(("PyTorch", command, Some("pytorch.json")));
        }
        Err(reason) => left_out.push(format!("PyTorch: {reason}")),
    }
    let deadline = Instant::now() + LIMIT;
    let mut parts: Vec<(&'static str, Ran)> = Vec::new();
    let mut failed: Vec<String> = Vec::new();
    for (name, command, file) in programs {
        let mut refused = false;
        let step = steps.run(name, || {
            let ran = run(out, command, file, deadline);
            let outcome = ran.failure.clone().map_or(Ok(()), Err);
            refused = ran.refused;
            parts.push((name, ran));
            outcome
        });
        if let Err(Failed { step, reason }) = step {
            println!("{reason}");
            failed.push(format!("{step}: {reason}"));
        }
        // A machine that is lent can be gone before the last program is done.
        steps.run("report", || write(out, &report(&wgbn, &parts, &left_out)))?;
        if refused {
            break;
        }
    }
    println!(
        "gpu-report.html and gpu-report.json are in {}",
        out.display()
    );
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Failed {
            step: "programs".to_owned(),
            reason: failed.join("; "),
        }),
    }
}

fn write(out: &Path, report: &Value) -> Result<(), String> {
    let write = |name: &str, text: &str| {
        let file = out.join(name);
        fs::write(&file, text).map_err(|e| format!("cannot write {}: {e}", file.display()))
    };
    write("gpu-report.json", &format!("{report:#}\n"))?;
    write("gpu-report.html", &page::html(report))
}

/// Everything in one object: what each program did, and a line for each row that was measured.
fn report(wgbn: &Path, parts: &[(&'static str, Ran)], left_out: &[String]) -> Value {
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
        "expected_of": predicted::device(wgbn, &machine),
        "left_out": left_out,
        "rows": predicted::rows(wgbn, &machine, [of("bench"), of("bench, tuned"), of("PyTorch")]),
        "parts": parts.iter().map(|(name, ran)| ran.as_json(name)).collect::<Value>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_the_options_is_told() {
        // Any program will do.
        let program = std::env::current_exe().unwrap();
        let program = program.to_str().unwrap();
        let parse = |args: &[&str]| Options::parse(&[&["out", "--wgbn", program], args].concat());
        assert!(parse(&["--suite", "small", "--seconds", "2", "--quick"]).is_ok());
        for (args, told) in [
            (
                &["--suite", "sweep"][..],
                "--suite sweep: expected resnet50 or small",
            ),
            (&["--device", "cpu"], "--device cpu: expected gpu"),
            (&["--seconds", "x"], "--seconds x: expected a number"),
            (&["--seconds"], "--seconds needs a value"),
            (&["more"], "gpu-report does not know more"),
            (&["--wgbn", "none"], "is no program"),
        ] {
            let refused = parse(args).err().unwrap();
            assert!(refused.contains(told), "{refused}");
        }
        assert!(
            Options::parse(&["--quick"])
                .err()
                .unwrap()
                .contains("a folder")
        );
        assert!(Options::parse(&[]).is_err());
    }

    #[test]
    fn a_program_is_stopped_at_its_deadline() {
        let mut sleeps = Command::new("sleep");
        sleeps.arg("30");
        let start = Instant::now();
        let stopped = ended(&mut sleeps, start + Duration::from_millis(100));
        assert!(stopped.unwrap_err().contains("stopped"));
        assert!(start.elapsed() < Duration::from_secs(10));
        let mut prints = Command::new("sh");
        prints.args(["-c", "echo out; echo err >&2; exit 2"]);
        let (status, texts) = ended(&mut prints, start + Duration::from_secs(60)).unwrap();
        assert_eq!(
            (status.code(), texts),
            (Some(2), ["out\n".to_owned(), "err\n".to_owned()])
        );
    }
}
