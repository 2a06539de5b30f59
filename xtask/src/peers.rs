//! `cargo xtask peers`: other libraries side by side with this one.
//!
//! The programs are in `benches/peers`; each writes a JSON file of one form,
//! and so does `wgbn bench`. What is not installed is skipped, and said.

mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::records::file::read;
use crate::{CommandExt as _, Failed, Steps, build_program, root};

pub use table::table;

const BURN: &str = "benches/peers/burn/Cargo.toml";
const PYTORCH: &str = "benches/peers/pytorch.py";

pub struct Options {
    suite: String,
    seconds: String,
    out: PathBuf,
}

impl Options {
    /// `None` for what cannot be understood.
    pub fn parse(args: &[&str]) -> Option<Self> {
        let mut options = Self {
            suite: "resnet50".to_owned(),
            seconds: "120".to_owned(),
            out: root().join("target").join("peers"),
        };
        for pair in args.chunks(2) {
            match *pair {
                ["--suite", suite] => suite.clone_into(&mut options.suite),
                ["--seconds", seconds] if seconds.parse::<f64>().is_ok() => {
                    seconds.clone_into(&mut options.seconds);
                }
                // The programs run in the repository's root, this may not.
                ["--out", out] => options.out = std::path::absolute(out).ok()?,
                _ => return None,
            }
        }
        Some(options)
    }
}

/// Prints the table of files that are there already.
pub fn print_table(files: &[&str]) -> Result<(), String> {
    if files.is_empty() {
        return Err("--table needs JSON files".to_owned());
    }
    let files: Result<Vec<Value>, String> = files.iter().map(|f| read(Path::new(f))).collect();
    print!("{}", table(&files?)?);
    Ok(())
}

/// Builds and runs what is installed, ours first and last, and prints the
/// table. Everything is built before the first measurement.
pub fn run(steps: &mut Steps, options: &Options) -> Result<(), Failed> {
    let ours = steps.run("build wgbn", || {
        let args = ["build", "--release", "--locked", "--package", "wgbn"];
        build_program(&mut crate::cargo(args), "wgbn")
    })?;
    let python = steps.run("find PyTorch", || Ok(find_pytorch()))?;
    let burn = steps.run("build Burn's", || {
        let args = ["build", "--release", "--locked", "--manifest-path", BURN];
        Ok(build_program(&mut crate::cargo(args), "burn-peer"))
    })?;
    steps.run("folder", || {
        fs::create_dir_all(&options.out)
            .map_err(|e| format!("cannot make {}: {e}", options.out.display()))
    })?;

    let bench = || {
        let mut command = Command::new(&ours);
        command.args(["bench", "--ops", "train,inference,backward,step"]);
        command
    };
    let mut files = Vec::new();
    let mut skipped = Vec::new();
    let mut measure = |name: &str, command: Command| {
        let file = options.out.join(format!("{name}.json"));
        measure(command, options, &file).map(|json| files.push(json))
    };
    steps.run("wgpu-batchnorm", || measure("wgpu-batchnorm-1", bench()))?;
    let peers = [
        ("PyTorch", "pytorch", python.map(|python| pytorch(&python))),
        ("Burn", "burn", burn.map(Command::new)),
    ];
    for (title, name, command) in peers {
        steps.run(title, || {
            if let Err(reason) = command.and_then(|command| measure(name, command)) {
                println!("{title} is skipped: {reason}");
                skipped.push(format!("{title}: {reason}"));
            }
            Ok(())
        })?;
    }
    steps.run("wgpu-batchnorm again", || {
        measure("wgpu-batchnorm-2", bench())
    })?;

    steps.run("table", || {
        let mut text = table(&files)?;
        for reason in &skipped {
            text.push_str(&format!("- not measured: {reason}\n"));
        }
        let file = options.out.join("table.md");
        fs::write(&file, &text).map_err(|e| format!("cannot write {}: {e}", file.display()))?;
        print!("\n{text}");
        println!(
            "\nThis table and the JSON files are in {}.",
            options.out.display()
        );
        Ok(())
    })
}

/// Runs the program and reads what it wrote. An older file does not pass for
/// that; a program that found a wrong result fails after it wrote one.
fn measure(mut command: Command, options: &Options, file: &Path) -> Result<Value, String> {
    fs::remove_file(file).ok();
    command.args(["--suite", &options.suite, "--seconds", &options.seconds]);
    let outcome = command.arg("--json").arg(file).run();
    match (outcome, read(file)) {
        (_, Ok(json)) => Ok(json),
        (Err(reason), _) | (_, Err(reason)) => Err(reason),
    }
}

fn pytorch(python: &str) -> Command {
    let mut command = Command::new(python);
    command.arg(PYTORCH);
    command
}

/// A Python that has PyTorch: `$PYTHON`, or `python3`.
pub fn find_pytorch() -> Result<String, String> {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let found = Command::new(&python)
        .args(["-c", "import torch"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if found {
        Ok(python)
    } else {
        Err(format!(
            "`{python}` has no module torch (name a Python that has with the variable PYTHON)"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_in_pairs() {
        let options = Options::parse(&["--suite", "small", "--seconds", "7.5"]).expect("good");
        assert_eq!((&*options.suite, &*options.seconds), ("small", "7.5"));
        assert!(options.out.ends_with("target/peers"));
        for bad in [
            &["--suite"][..],
            &["--seconds", "many"],
            &["small"],
            &["--what", "1"],
        ] {
            assert!(Options::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_table_of_no_file_or_a_missing_one_is_an_error() {
        assert!(print_table(&[]).is_err());
        assert!(print_table(&["no such file.json"]).is_err());
    }
}
