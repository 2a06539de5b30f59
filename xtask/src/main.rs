//! The checks of this repository, the same on a developer's machine and in CI.
//!
//! `cargo xtask test` runs all of them in order and stops at the first that
//! fails; `cargo xtask msrv` checks the oldest supported Rust alone. `cargo
//! xtask peers` measures other libraries side by side with this one, and `cargo xtask
//! portability` runs the tests and shaders on other implementations of Vulkan, GL and WebGPU, and
//! `cargo xtask machine-code` says what GPUs' compilers make of the shaders.

mod adapter;
mod api;
mod command;
mod debian;
mod features;
mod gpu_report;
mod groups;
mod machine_code;
mod msrv;
mod mutants;
mod null_devices;
mod package;
mod peers;
mod portability;
mod programs;
mod records;
mod skipped;
mod steps;
mod test;

use std::env;
use std::process::ExitCode;

use command::{CommandExt, build_program, cargo, command_line, in_target, root};
use steps::{Failed, Steps};

/// Tests append a line to the file that this variable names, for every GPU
/// context they make.
const ADAPTER_LOG: &str = "WGBN_ADAPTER_LOG";

const USAGE: &str = "\
usage: cargo xtask <command>

commands:
  test   every check: a GPU adapter, rustfmt, clippy, the tests, the examples
         among them, the documentation, the dependencies' minimum Rust versions
  api    compares the public API with its listing, docs/public-api.txt; --write
         writes the listing again
  msrv   the minimum Rust version: what the dependencies need, and a check
         with that toolchain where it is installed
  mutants
         whether the tests notice a wrong shader, one of tests/mutants at a time:
           mutants [--only PART-OF-A-NAME]
  peers  the speed of this library, PyTorch and Burn side by side, those that
         are installed (benches/peers):
           peers [--suite resnet50,small] [--seconds PER-PROGRAM] [--out FOLDER]
           peers --table FILE.json...   the table of files that are there
  gpu-report
         everything that only a GPU can tell, as a page and a JSON file in a folder; from programs that were
         built elsewhere, it needs neither cargo nor this repository:
           gpu-report OUT [--wgbn PROGRAM] [--device NAME] [--suite resnet50] [--seconds EACH] [--quick]
  portability
         the tests on every Vulkan driver and on GL, the shaders on Dawn and
         through other compilers' checks, some tests under Vulkan's validation
         layer, and whether checks fail on GPUs that execute nothing; says what
         is missing here
  records
         makes the tables of docs/measurements from the JSON in benches/record
  machine-code
         registers and instructions of every shader on AMD's and NVIDIA's open
         drivers, without a GPU (docs/machine-code.md), held to the limits of
         tests/machine-code:
           machine-code [--family NAME] [--json FILE] [--diff | --write]
";

/// What asks for [`USAGE`].
const HELP: [&str; 3] = ["help", "--help", "-h"];

fn main() -> ExitCode {
    if let Some(status) = api::as_rustdoc() {
        return status;
    }
    let args: Vec<String> = env::args_os()
        .skip(1)
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut steps = Steps::default();
    let outcome = match args[..] {
        ["test"] => test::run(&mut steps),
        ["msrv"] => msrv::run(&mut steps),
        ["api"] => api::run(&mut steps, false),
        ["api", "--write"] => api::run(&mut steps, true),
        ["mutants"] => mutants::run(&mut steps, ""),
        ["mutants", "--only", name] => mutants::run(&mut steps, name),
        ["peers", "--table", ref files @ ..] => {
            return match peers::print_table(files) {
                Ok(()) => ExitCode::SUCCESS,
                Err(reason) => {
                    eprintln!("xtask: {reason}");
                    ExitCode::FAILURE
                }
            };
        }
        ["peers", ref rest @ ..] if let Some(options) = peers::Options::parse(rest) => {
            peers::run(&mut steps, &options)
        }
        ["gpu-report", ref rest @ ..] if !rest.iter().any(|arg| HELP.contains(arg)) => {
            match gpu_report::Options::parse(rest) {
                Ok(options) => gpu_report::run_all(&mut steps, &options),
                Err(reason) => {
                    eprintln!("xtask: {reason}");
                    return ExitCode::from(2);
                }
            }
        }
        ["portability"] => portability::run(&mut steps),
        ["records"] => records::run(&mut steps),
        ["machine-code", ref rest @ ..]
            if let Some(options) = machine_code::Options::parse(rest) =>
        {
            machine_code::run(&mut steps, &options)
        }
        [.., last] if HELP.contains(&last) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            if !args.is_empty() {
                eprintln!("xtask: cannot understand `{}`\n", args.join(" "));
            }
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    steps.summary();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed { step, reason }) => {
            eprintln!("xtask: step `{step}` failed: {reason}");
            ExitCode::FAILURE
        }
    }
}
