//! Kernels that are wrong: a program in whose text a sign or a word is another.
//!
//! On Linux alone: elsewhere a changed program may not start.

use std::path::PathBuf;
use std::process::Command;

use crate::support::{Folder, Run, finish, record, words};
use crate::tensors::{SHAPE, Tensors, dy, small, x};

/// `wgbn` with another text in its shaders, as long as what was there.
struct Wrong {
    folder: Folder,
    program: PathBuf,
}

impl Wrong {
    fn new(changes: &[(&str, &str)]) -> Self {
        let folder = Folder::new();
        let program = folder.path("wrong");
        // The copy keeps the permission to run.
        std::fs::copy(env!("CARGO_BIN_EXE_wgbn"), &program).unwrap();
        let right = std::fs::read(&program).unwrap();
        let mut wrong = right.clone();
        for (from, to) in changes {
            assert_eq!(from.len(), to.len());
            let places = right.windows(from.len()).enumerate();
            let places: Vec<_> = places.filter(|(_, w)| *w == from.as_bytes()).collect();
            assert!(!places.is_empty(), "no {from:?} in the program's shaders");
            for (at, _) in places {
                wrong[at..at + to.len()].copy_from_slice(to.as_bytes());
            }
        }
        std::fs::write(&program, wrong).unwrap();
        Self { folder, program }
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(self.folder.path(""));
        finish(command)
    }
}

#[test]
fn verify_fails_and_names_the_case() {
    let wrong = Wrong::new(&[(
        "(centered(value, s.pivot) - s.offset)",
        "(centered(value, s.pivot) + s.offset)",
    )]);
    let folder = &wrong.folder;
    let run = |arguments: &[&str]| wrong.run(arguments);
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

/// Where nothing but the reading of halves is wrong, and where nothing but the writing of them is,
/// every command on a file of halves fails that reads or writes them, and none on a file of f32.
#[test]
fn halves_go_through_the_kernels_of_halves() {
    let reading = [
        // f16: which half of a word, where the device was proved to read them; else, which formula is whose.
        (
            "unpack2x16float(word >> shift_of(at)).x",
            "unpack2x16float(word >> shift_of(at)).y",
        ),
        ("select(normal, subnormal, ", "select(subnormal, normal, "),
        // bf16: one bit too far to the right.
        ("(half << ValueBits(16u))", "(half << ValueBits(15u))"),
    ];
    // The values are narrowed with the other sign.
    let writing = [(
        "let bits = bitcast<ValueBits>(value);\n    let number",
        "let bits =bitcast<ValueBits>(-value);\n    let number",
    )];
    let f16 = small().f16("x", &SHAPE, &x()).f16("dy", &SHAPE, &dy());
    let bf16 = small().bf16("x", &SHAPE, &x()).bf16("dy", &SHAPE, &dy());
    let files: [(&str, Tensors); 3] = [("f16", f16), ("bf16", bf16), ("f32", small())];
    for (changes, moments_fail) in [(&reading[..], true), (&writing[..], false)] {
        let wrong = Wrong::new(changes);
        for (element, file) in &files {
            wrong.folder.save("in.safetensors", file);
            for command in ["forward", "backward", "moments --axes 0,2"] {
                let line = format!("{command} in.safetensors -o out.safetensors --device gpu");
                let run = wrong.run(&words(&line));
                let reads_only = command.starts_with("moments");
                let fails = *element != "f32" && (moments_fail || !reads_only);
                match fails {
                    true => run.failed(1, "check failed"),
                    false => {
                        run.succeeded();
                    }
                }
            }
        }
    }
}
