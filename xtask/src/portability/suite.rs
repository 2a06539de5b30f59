//! The package's tests with what they printed, run to the end and counted.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::Row;
use crate::{CommandExt as _, cargo, command_line, root};

/// The tests that need an adapter.
pub const TESTS: [&str; 3] = ["kernels", "api", "recording"];

/// Builds them, so that no time below is a compiler's.
pub fn build() -> Result<(), String> {
    cargo(arguments(&TESTS)).arg("--no-run").run()
}

/// The program of a test, which has been built.
pub fn program(test: &str) -> Result<PathBuf, String> {
    let messages = cargo(arguments(&[test]))
        .args(["--no-run", "--message-format=json-render-diagnostics"])
        .read()?;
    let messages = String::from_utf8_lossy(&messages).into_owned();
    let mut messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    messages
        .find_map(|message| executable(&message, test))
        .ok_or_else(|| format!("cargo built no test `{test}`"))
}

/// The program of a test, where this message of cargo tells it.
fn executable(message: &Value, test: &str) -> Option<PathBuf> {
    let target = &message["target"];
    let built = target["name"] == test && target["kind"][0] == "test";
    built.then(|| message["executable"].as_str().map(PathBuf::from))?
}

fn arguments<'a>(tests: &[&'a str]) -> Vec<&'a str> {
    let tests = tests.iter().flat_map(|test| ["--test", *test]);
    ["test", "--locked", "--no-fail-fast"]
        .into_iter()
        .chain(tests)
        .collect()
}

/// Runs those whose names contain a filter, all where there is none, with these variables set.
/// What they print is kept in `log`.
pub fn run(
    tests: &[&str],
    filters: &[&str],
    variables: &[(&str, &OsStr)],
    log: &Path,
) -> Result<Row, String> {
    let mut command = cargo(arguments(tests));
    command
        .args(["--", "--show-output"])
        .args(filters)
        .envs(variables.iter().copied());
    run_to_end(&mut command, tests.len(), log)
}

/// Runs what runs so many test programs. What they print is kept in `log`.
pub fn run_to_end(command: &mut Command, binaries: usize, log: &Path) -> Result<Row, String> {
    let io = |e| format!("{}: {e}", log.display());
    let output = File::create(log).map_err(io)?;
    command
        .current_dir(root())
        .stdin(Stdio::null())
        .stderr(output.try_clone().map_err(io)?)
        .stdout(output);
    let line = command_line(command);
    println!("$ {line}");
    let status = command
        .status()
        .map_err(|error| format!("cannot run `{line}`: {error}"))?;
    let mut row = count(&fs::read_to_string(log).map_err(io)?, binaries);
    if !status.success() && row.failures.is_empty() {
        row.failures.push(format!("`{line}` ended with {status}"));
    }
    Ok(row)
}

/// Counts of what so many test binaries printed. A test that leaves something out because its
/// adapter cannot do it prints a line that begins with `skipped: `.
fn count(log: &str, binaries: usize) -> Row {
    let mut row = Row::default();
    let mut ended = 0;
    for line in log.lines() {
        if let Some(counts) = line.strip_prefix("test result: ") {
            let of = |what: &str| {
                let part = counts.split([';', '.']).find(|part| part.ends_with(what));
                let number = part.and_then(|part| part.split_whitespace().next());
                number.and_then(|n| n.parse::<usize>().ok()).unwrap_or(0)
            };
            row.passed += of(" passed");
            row.failed += of(" failed");
            row.skipped += of(" ignored");
            ended += 1;
        } else if let Some(what) = line.strip_prefix("skipped: ") {
            row.skip(what);
        } else if let Some(test) = line
            .strip_prefix("test ")
            .and_then(|t| t.strip_suffix(" ... FAILED"))
        {
            row.failures.push(test.to_owned());
        }
    }
    if ended != binaries {
        row.failures.push(format!(
            "{ended} of {binaries} test binaries ran to their end"
        ));
    }
    if row.passed + row.failed == 0 {
        row.failures.push("no test ran".to_owned());
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_has_a_program() {
        let message = |name, kind| {
            serde_json::json!({
                "target": { "name": name, "kind": [kind] }, "executable": "/somewhere/kernels-1"
            })
        };
        let found = |name, kind| executable(&message(name, kind), "kernels").is_some();
        assert!(found("kernels", "test"));
        assert!(!found("api", "test") && !found("kernels", "bin"));
    }

    #[test]
    fn outcomes_are_counted_over_binaries() {
        let log = "running 3 tests\ntest cases::cpu ... ok\nskipped: small values\ntest cases::gpu ... FAILED\n\
                   test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 5 filtered out; finished in 0.1s\n\
                   test result: ok. 4 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 9.22s\n";
        let row = count(log, 2);
        assert_eq!((row.passed, row.failed, row.skipped), (6, 1, 3));
        assert_eq!(row.skips, ["small values"]);
        assert_eq!(row.failures, ["cases::gpu"]);
    }

    #[test]
    fn a_binary_that_crashed_or_ran_nothing_is_a_failure() {
        let one = "test result: ok. 4 passed; 0 failed; 0 ignored\n";
        assert_eq!(count(one, 2).failures.len(), 1);
        assert_eq!(count(one, 1).failures.len(), 0);
        assert_eq!(
            count("test result: ok. 0 passed; 0 failed; 0 ignored\n", 1)
                .failures
                .len(),
            1
        );
    }
}
