//! `wgbn`: batch normalization of files, a demonstration on real data, the sweep that checks, and
//! the benchmark.

#[macro_use]
mod say;

pub mod args;
mod backward;
mod bench;
mod demo;
mod engine;
pub mod failure;
pub mod fold;
mod forward;
mod info;
pub mod input;
mod moments;
pub mod output;
mod planned;
mod progress;
pub mod stored;
mod table;
mod tune;
mod tuning;
mod verify;

use std::process::ExitCode;

use args::Command;
use clap::Parser;
use failure::Failure;

/// The whole program.
pub fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        eprintln!(
            "wgbn: {}",
            Failure::Machine(format!("internal error, {panic}"))
        );
        std::process::exit(3);
    }));
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("wgbn: {failure}");
            failure.status()
        }
    }
}

fn run() -> Result<(), Failure> {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        // Help and version are no errors.
        Err(error) if !error.use_stderr() => {
            return say::text(format_args!("{error}"));
        }
        Err(error) => return Err(failure::usage(&error)),
    };
    match args.command {
        Command::Demo(args) => demo::run(&args),
        Command::Forward(args) => forward::run(&args),
        Command::Backward(args) => backward::run(&args),
        Command::Moments(args) => moments::run(&args),
        Command::Fold(args) => fold::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Tune(args) => tune::run(&args),
    }
}
