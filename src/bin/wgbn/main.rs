//! `wgbn`: batch normalization of files, a demonstration on real data, the sweep that checks, and
//! the benchmark.

#[macro_use]
mod say;

mod agreement;
mod args;
mod backward;
mod bench;
mod cuts;
mod data;
mod demo;
mod engine;
mod failure;
mod forward;
mod info;
mod input;
mod layout;
mod moments;
mod output;
mod parts;
mod progress;
mod stored;
mod table;
mod texels;
mod verify;

use std::process::ExitCode;

use args::Command;
use clap::Parser;
use failure::Failure;

fn main() -> ExitCode {
    quiet_drivers();
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
        Command::Info(args) => info::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Bench(args) => bench::run(&args),
    }
}

/// Mesa's layer for choosing a GPU asks for a Wayland session and complains on stderr where there
/// is none; without a session it has nothing to choose by.
fn quiet_drivers() {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: the first statement of `main`, before any other thread exists.
        #[allow(unsafe_code)]
        unsafe {
            std::env::set_var("NODEVICE_SELECT", "1");
        }
    }
}
