//! The checks of this repository, the same on a developer's machine and in CI.
//!
//! `cargo xtask test` runs all of them in order and stops at the first that
//! fails; `cargo xtask msrv` checks the oldest supported Rust alone. `cargo
//! xtask peers` measures other libraries side by side with this one, and `cargo xtask
//! portability` runs the tests and shaders on other implementations of Vulkan, GL and WebGPU, and
//! `cargo xtask machine-code` says what GPUs' compilers make of the shaders.

mod adapter;
mod debian;
mod machine_code;
mod msrv;
mod mutants;
mod null_devices;
mod peers;
mod portability;
mod programs;
mod records;
mod skipped;

use std::env;
use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

/// The package whose checks these are.
const PACKAGE: &str = "wgpu-batchnorm";

/// Tests append a line to the file that this variable names, for every GPU
/// context they make.
const ADAPTER_LOG: &str = "WGBN_ADAPTER_LOG";

const USAGE: &str = "\
usage: cargo xtask <command>

commands:
  test   every check: a GPU adapter, rustfmt, clippy, the tests, the examples
         among them, the documentation, the dependencies' minimum Rust versions
  msrv   the minimum Rust version: what the dependencies need, and a check
         with that toolchain where it is installed
  mutants
         whether the tests notice a wrong shader, one of tests/mutants at a time:
           mutants [--only PART-OF-A-NAME]
  peers  the speed of this library, PyTorch and Burn side by side, those that
         are installed (benches/peers):
           peers [--suite resnet50,small] [--seconds PER-PROGRAM] [--out FOLDER]
           peers --table FILE.json...   the table of files that are there
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

fn main() -> ExitCode {
    let args: Vec<String> = env::args_os()
        .skip(1)
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut steps = Steps::default();
    let outcome = match args[..] {
        ["test"] => test(&mut steps),
        ["msrv"] => msrv(&mut steps),
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
        ["portability"] => portability::run(&mut steps),
        ["records"] => records::run(&mut steps),
        ["machine-code", ref rest @ ..]
            if let Some(options) = machine_code::Options::parse(rest) =>
        {
            machine_code::run(&mut steps, &options)
        }
        ["help" | "--help" | "-h"] => {
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

/// `cargo xtask test`.
fn test(steps: &mut Steps) -> Result<(), Failed> {
    let metadata = steps.run("metadata", msrv::metadata)?;

    // The probe for an adapter is the project's own program. Building every
    // target, as the tests do, gives the dependencies the same features, so
    // that nothing is compiled twice. (Without this program: Windows does not
    // let cargo replace it while it runs.)
    let wgbn = steps.run("build", || {
        let args = [
            "build",
            "--locked",
            "--workspace",
            "--exclude",
            "xtask",
            "--all-targets",
        ];
        build_program(&args, "wgbn")
    })?;
    steps.run("adapter", || adapter::ensure(&wgbn))?;

    steps.run("rustfmt", || cargo(["fmt", "--all", "--", "--check"]).run())?;
    steps.run("clippy", || {
        let args = ["clippy", "--workspace", "--all-targets", "--locked"];
        cargo(args).args(["--", "-D", "warnings"]).run()
    })?;
    steps.run("clippy, no default features", || {
        let args = ["clippy", "--lib", "--no-default-features", "--locked"];
        cargo(args).args(["--", "-D", "warnings"]).run()
    })?;

    let log = in_target(&metadata, "adapter-log.txt");
    let skips = in_target(&metadata, "skipped-log.txt");
    steps.run("tests", || {
        adapter::start_log(&log)?;
        adapter::start_log(&skips)?;
        cargo(["test", "--locked", "--workspace", "--all-targets"])
            .env(ADAPTER_LOG, &log)
            .env(skipped::LOG, &skips)
            .run()
    })?;
    steps.run("doc tests", || {
        cargo(["test", "--locked", "--doc"])
            .env(ADAPTER_LOG, &log)
            .run()
    })?;
    programs::run(steps)?;
    steps.run("tests ran on an adapter", || {
        adapter::read_log(&log).map(drop)
    })?;
    steps.run("what tests skipped", || skipped::read(&skips))?;

    steps.run("documentation", || {
        cargo(["doc", "--no-deps", "--locked", "--workspace"])
            .env("RUSTDOCFLAGS", "-D warnings")
            .run()
    })?;
    steps.run("minimum Rust of dependencies", || {
        msrv::check_dependencies(&metadata).map(drop)
    })
}

/// `cargo xtask msrv`.
fn msrv(steps: &mut Steps) -> Result<(), Failed> {
    let metadata = steps.run("metadata", msrv::metadata)?;
    let ours = steps.run("minimum Rust of dependencies", || {
        msrv::check_dependencies(&metadata)
    })?;
    steps.run("check with the minimum Rust", || {
        msrv::check_with_toolchain(&ours)
    })
}

/// The step that failed, and why.
struct Failed {
    step: String,
    reason: String,
}

/// The steps done so far, with their times.
#[derive(Default)]
struct Steps {
    done: Vec<(String, Duration, bool)>,
}

impl Steps {
    fn run<T>(
        &mut self,
        name: &str,
        step: impl FnOnce() -> Result<T, String>,
    ) -> Result<T, Failed> {
        println!("\n==> {name}");
        let start = Instant::now();
        let result = step();
        let time = start.elapsed();
        let outcome = if result.is_ok() { "ok" } else { "FAILED" };
        println!("==> {name}: {outcome}, {:.1} s", time.as_secs_f64());
        self.done.push((name.to_owned(), time, result.is_ok()));
        result.map_err(|reason| Failed {
            step: name.to_owned(),
            reason,
        })
    }

    fn summary(&self) {
        println!("\n==> summary");
        for (name, time, ok) in &self.done {
            let outcome = if *ok { "ok" } else { "FAILED" };
            println!("{:>9.1} s  {outcome:<6}  {name}", time.as_secs_f64());
        }
        let total: Duration = self.done.iter().map(|(_, time, _)| *time).sum();
        println!("{:>9.1} s  total", total.as_secs_f64());
        // The reason of a failure goes to the other stream, after this.
        std::io::stdout().flush().ok();
    }
}

/// The repository's root: where cargo runs this now, which may have moved since it was built.
fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let package = env::var_os("CARGO_MANIFEST_DIR");
        let package = PathBuf::from(package.expect("xtask is run by cargo"));
        let root = package.parent();
        root.expect("xtask lies in the repository").to_owned()
    })
}

/// A cargo command in the repository's root, of the toolchain that runs this.
fn cargo<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(args);
    command
}

trait CommandExt {
    /// Runs the command in the repository's root, without standard input,
    /// until it ends, and is an error unless it succeeds.
    fn run(&mut self) -> Result<(), String>;

    /// Like [`run`](Self::run); gives what the command wrote to its standard
    /// output.
    fn read(&mut self) -> Result<Vec<u8>, String>;
}

impl CommandExt for Command {
    fn run(&mut self) -> Result<(), String> {
        let line = command_line(self);
        println!("$ {line}");
        let status = self
            .current_dir(root())
            .stdin(Stdio::null())
            .status()
            .map_err(|error| format!("cannot run `{line}`: {error}"))?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("`{line}` ended with {status}"))
        }
    }

    fn read(&mut self) -> Result<Vec<u8>, String> {
        let line = command_line(self);
        println!("$ {line}");
        let output = self
            .current_dir(root())
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("cannot run `{line}`: {error}"))?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(format!("`{line}` ended with {}", output.status))
        }
    }
}

/// The command as one would type it, the program without its folder.
fn command_line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_stem().unwrap_or(program.as_os_str());
    std::iter::once(program)
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs `cargo build` as the arguments say, and says where the program `name`
/// is that it built.
fn build_program(args: &[&str], name: &str) -> Result<PathBuf, String> {
    let messages = cargo(args.iter().copied())
        .arg("--message-format=json-render-diagnostics")
        .read()?;
    String::from_utf8_lossy(&messages)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| executable(&message, name))
        .ok_or_else(|| format!("cargo built no program `{name}`"))
}

/// The path of the program `name`, where this message of cargo tells it.
fn executable(message: &Value, name: &str) -> Option<PathBuf> {
    let target = &message["target"];
    let built = message["reason"] == "compiler-artifact"
        && target["name"] == name
        && target["kind"][0] == "bin"
        && message["profile"]["test"] == false;
    built.then(|| message["executable"].as_str().map(PathBuf::from))?
}

/// A file in the target folder, for what the tests note.
fn in_target(metadata: &Value, name: &str) -> PathBuf {
    match metadata["target_directory"].as_str() {
        Some(target) => Path::new(target).join(name),
        None => root().join("target").join(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_program_is_found_and_its_unit_tests_are_not() {
        let message = |name: &str, kind: &str, test: bool| {
            json!({
                "reason": "compiler-artifact",
                "target": { "name": name, "kind": [kind] },
                "profile": { "test": test },
                "executable": "/somewhere/wgbn",
            })
        };
        assert_eq!(
            executable(&message("wgbn", "bin", false), "wgbn"),
            Some(PathBuf::from("/somewhere/wgbn"))
        );
        assert_eq!(executable(&message("wgbn", "bin", true), "wgbn"), None);
        assert_eq!(executable(&message("other", "bin", false), "wgbn"), None);
        assert_eq!(executable(&message("wgbn", "test", false), "wgbn"), None);
        assert_eq!(
            executable(&json!({ "reason": "build-finished" }), "wgbn"),
            None
        );
    }

    #[test]
    fn a_command_line_names_the_program_without_its_folder() {
        let mut command = Command::new("/some/folder/cargo");
        command.args(["test", "--locked"]);
        assert_eq!(command_line(&command), "cargo test --locked");
    }

    #[test]
    fn steps_stop_with_the_name_and_the_reason() {
        let mut steps = Steps::default();
        assert_eq!(steps.run("first", || Ok(1)).ok(), Some(1));
        let failed = steps.run("second", || Err::<(), _>("a reason".to_owned()));
        let failed = failed.expect_err("the step fails");
        assert_eq!((&*failed.step, &*failed.reason), ("second", "a reason"));
        let outcomes: Vec<bool> = steps.done.iter().map(|(_, _, ok)| *ok).collect();
        assert_eq!(outcomes, [true, false]);
    }
}
