//! `verify` of kernels that are wrong: a program in whose text one sign is another.
//!
//! On Linux alone: elsewhere a changed program may not start.

use std::process::Command;

use crate::support::{Folder, Run, finish, record, words};

const RIGHT: &[u8] = b"(centered(value, s.pivot) - s.offset)";
const WRONG: &[u8] = b"(centered(value, s.pivot) + s.offset)";

/// `wgbn` that normalizes with the wrong sign.
fn change(program: &[u8]) -> Vec<u8> {
    let mut changed = program.to_vec();
    let places = program.windows(RIGHT.len()).enumerate();
    let places: Vec<_> = places.filter(|(_, w)| *w == RIGHT).collect();
    assert!(!places.is_empty(), "the program holds its shaders as text");
    for (at, _) in places {
        changed[at..at + WRONG.len()].copy_from_slice(WRONG);
    }
    changed
}

#[test]
fn verify_fails_and_names_the_case() {
    let folder = Folder::new();
    let program = folder.path("wrong");
    // The copy keeps the permission to run.
    std::fs::copy(env!("CARGO_BIN_EXE_wgbn"), &program).unwrap();
    let right = std::fs::read(&program).unwrap();
    std::fs::write(&program, change(&right)).unwrap();
    let run = |arguments: &[&str]| -> Run {
        let mut command = Command::new(&program);
        command.args(arguments).current_dir(folder.path(""));
        finish(command)
    };
    let message = "results are beyond their bounds";
    let failed = run(&words("verify --case 13 --json report.json"));
    failed.failed_after_printing(1, message);
    assert!(failed.stdout.contains("FAILED"), "{failed:#?}");

    let report = std::fs::read_to_string(folder.path("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    record(report["device"].as_str().unwrap());
    let failures = report["failures"].as_array().unwrap();
    let wrong = failures.iter().filter(|failure| {
        let what = failure["what"].as_str().unwrap();
        what.starts_with("train forward (interleaved): y[")
    });
    assert_eq!(wrong.count(), 1, "{failures:#?}");
    // Only what has to do with y.
    assert!(!failed.stdout.contains("batch_mean["), "{failed:#?}");

    // What is printed runs that case again, with the same outcome.
    let again = failures[0]["again"].as_str().unwrap();
    assert!(failed.stdout.contains(&format!("\n  again: {again}\n")));
    let mut shell = Command::new("sh");
    shell.args(["-c", again]).current_dir(folder.path(""));
    let again = finish(shell);
    again.failed_after_printing(1, message);
    let findings = |run: &Run| -> Vec<String> {
        let lines = run.stdout.lines().filter(|line| line.contains("y["));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(findings(&again), findings(&failed));

    // A report that cannot be written hides nothing.
    let full = run(&words("verify --case 13 --json /dev/full"));
    full.failed_after_printing(1, message);
    full.failed_after_printing(1, "No space left");
}
