//! Checks must fail where nothing runs: the sweep and the operations of the command line on AMD's and
//! NVIDIA's drivers without a GPU behind them, which compile everything and execute nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use super::{Report, Row};
use crate::null_devices::{FAMILIES, Family, NullDevices};
use crate::{command_line, root};

/// A family of each maker.
const GPUS: [(&str, &str); 2] = [("AMD", "navi31"), ("NVIDIA", "ampere")];

/// A check failed.
const WRONG: i32 = 1;
/// The machine failed.
const BROKEN: i32 = 3;

/// Command lines that compute on the device; all but the first leave the results in a file and may be
/// told not to check them.
const OPERATIONS: [&str; 4] = [
    "demo",
    "forward IN -o OUT",
    "backward IN -o OUT",
    "moments IN -o OUT --axes 0,2",
];

pub fn run(report: &mut Report, wgbn: &Path, folder: &Path) -> Result<(), String> {
    let devices = match NullDevices::get() {
        Ok(devices) => devices,
        Err(reason) => {
            report.missing_of_debian(format!("null devices: {reason}"));
            return Ok(());
        }
    };
    let input = folder.join("null.safetensors");
    fs::write(&input, tensors()).map_err(|e| format!("{}: {e}", input.display()))?;
    for (maker, name) in GPUS {
        let family = FAMILIES.into_iter().find(|family| family.name == name);
        let family = family.ok_or_else(|| format!("there is no null device {name}"))?;
        let start = Instant::now();
        let mut row = Row {
            name: format!("null device of {maker}, {name}: everything fails"),
            ..Row::default()
        };
        let runner = Runner {
            devices: &devices,
            family,
            wgbn,
        };
        runner.sweep(&mut row, &folder.join(format!("null.{name}.json")))?;
        for operation in OPERATIONS {
            runner.operation(&mut row, operation, &input, folder)?;
        }
        report.ran(start, row);
    }
    Ok(())
}

/// What runs `wgbn` on one GPU.
struct Runner<'a> {
    devices: &'a NullDevices,
    family: Family,
    wgbn: &'a Path,
}

impl Runner<'_> {
    /// The exit status of these arguments, which have none where the program was killed.
    fn status(&self, args: &[&str]) -> Result<Option<i32>, String> {
        let mut command = self.devices.command(self.family, self.wgbn);
        command.args(args).args(["--device", "gpu"]);
        status(&mut command)
    }

    /// Every row of the sweep fails, in every run, by its judge and not by the canary alone.
    fn sweep(&self, row: &mut Row, file: &Path) -> Result<(), String> {
        let path = file.to_string_lossy();
        let status = self.status(&["verify", "--quick", "--json", &*path])?;
        row.expect("`wgbn verify`", status, &[WRONG]);
        let sweep = fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()));
        let sweep: Value = match sweep.map(|text| serde_json::from_str(&text)) {
            Ok(Ok(sweep)) => sweep,
            unread => {
                row.failures
                    .push(format!("the sweep left no report: {unread:?}"));
                return Ok(());
            }
        };
        row.version = sweep["device"].as_str().unwrap_or_default().to_owned();
        judge(row, &sweep);
        Ok(())
    }

    /// An operation is wrong, and writes nothing; unchecked, it finds that the device does not run.
    fn operation(
        &self,
        row: &mut Row,
        operation: &str,
        input: &Path,
        folder: &Path,
    ) -> Result<(), String> {
        let output: PathBuf = folder.join("null.out.safetensors");
        let (from, to) = (input.to_string_lossy(), output.to_string_lossy());
        let place = |word| match word {
            "IN" => &*from,
            "OUT" => &*to,
            word => word,
        };
        let words: Vec<&str> = operation.split(' ').collect();
        let unchecked = ["--no-check"];
        let mut cases: Vec<(&[&str], &[i32])> = vec![(&[], &[WRONG])];
        if words.contains(&"OUT") {
            cases.push((&unchecked, &[BROKEN]));
        }
        for (options, expected) in cases {
            fs::remove_file(&output).ok();
            let args: Vec<&str> = words.iter().copied().map(place).collect();
            let status = self.status(&[&args[..], options].concat())?;
            let what = [&["wgbn"], &words[..], options].concat().join(" ");
            let what = format!("`{what}`");
            row.expect(&what, status, expected);
            if output.exists() {
                row.failures.push(format!("{what} wrote results"));
            }
        }
        Ok(())
    }
}

impl Row {
    /// Counts a run that has to end with one of these.
    fn expect(&mut self, what: &str, status: Option<i32>, expected: &[i32]) {
        if status.is_some_and(|status| expected.contains(&status)) {
            self.passed += 1;
            return;
        }
        self.failed += 1;
        let status = status.map_or("no status".to_owned(), |status| status.to_string());
        let failure = format!("{what} ended with {status}, not with {expected:?}");
        self.failures.push(failure);
    }
}

/// Counts the rows of a sweep: right is one that failed whenever it ran, and by its judge.
fn judge(row: &mut Row, sweep: &Value) {
    let rows = sweep["rows"].as_array().map_or(&[][..], Vec::as_slice);
    if rows.is_empty() {
        row.failures.push("the sweep has no rows".to_owned());
    }
    for line in rows {
        let count = |key: &str| line[key].as_u64();
        let (runs, failed, by_judge) = (count("runs"), count("failed"), count("failed_by_judge"));
        if runs.is_some_and(|runs| runs > 0) && failed == runs && by_judge == runs {
            row.passed += 1;
            continue;
        }
        row.failed += 1;
        let number = |n: Option<u64>| n.map_or("?".to_owned(), |n| n.to_string());
        row.failures.push(format!(
            "{} ({}): of {} runs {} failed, {} by the judge",
            line["operation"].as_str().unwrap_or("?"),
            line["variant"].as_str().unwrap_or("?"),
            number(runs),
            number(failed),
            number(by_judge),
        ));
    }
}

/// Runs a command without its output, which is a table of failures, and gives its exit status.
fn status(command: &mut Command) -> Result<Option<i32>, String> {
    let line = command_line(command);
    println!("$ {line}");
    let output = command
        .current_dir(root())
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("cannot run `{line}`: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    println!("  {}: {}", output.status, said.lines().last().unwrap_or(""));
    Ok(output.status.code())
}

/// A safetensors file with x and dy, 4×3×8 values each.
fn tensors() -> Vec<u8> {
    let values = |at: usize| {
        let value = move |k: usize| ((k * 37 + at) % 101) as f32 / 16.0 - 3.0;
        (0..96).flat_map(move |k| value(k).to_le_bytes())
    };
    let tensor = |start: usize| json!({ "dtype": "F32", "shape": [4, 3, 8], "data_offsets": [start, start + 384] });
    let header = json!({ "x": tensor(0), "dy": tensor(384) }).to_string();
    let length = (header.len() as u64).to_le_bytes();
    let file = length.into_iter().chain(header.into_bytes());
    file.chain(values(0)).chain(values(11)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(rows: &Value) -> Row {
        let mut row = Row::default();
        judge(&mut row, &json!({ "rows": rows }));
        row
    }

    fn row(runs: u64, failed: u64, by_judge: u64) -> Value {
        json!({
            "operation": "inference", "variant": "planar",
            "runs": runs, "failed": failed, "failed_by_judge": by_judge,
        })
    }

    #[test]
    fn every_run_of_every_row_has_to_fail() {
        let good = judged(&json!([row(2, 2, 2), row(1, 1, 1)]));
        assert_eq!((good.passed, good.failures.len()), (2, 0));
        let bad = judged(&json!([
            row(2, 2, 2),
            row(2, 1, 1),
            row(2, 2, 1),
            row(0, 0, 0)
        ]));
        assert_eq!((bad.passed, bad.failed), (1, 3));
        assert_eq!(
            bad.failures[0],
            "inference (planar): of 2 runs 1 failed, 1 by the judge"
        );
    }

    #[test]
    fn a_sweep_that_says_nothing_is_a_failure() {
        assert_eq!(judged(&json!([])).failures.len(), 1);
        assert_eq!(judged(&Value::Null).failures.len(), 1);
        let older = json!([{ "operation": "inference", "variant": "planar", "runs": 2 }]);
        let failures = judged(&older).failures;
        assert_eq!(
            failures,
            ["inference (planar): of 2 runs ? failed, ? by the judge"]
        );
    }

    #[test]
    fn a_program_has_to_end_with_what_it_found() {
        let mut row = Row::default();
        row.expect("`a`", Some(1), &[WRONG]);
        row.expect("`b`", Some(3), &[WRONG, BROKEN]);
        assert_eq!((row.passed, row.failures.len()), (2, 0));
        row.expect("`c`", Some(0), &[WRONG, BROKEN]);
        row.expect("`d`", Some(1), &[BROKEN]);
        row.expect("`e`", None, &[BROKEN]);
        assert_eq!((row.passed, row.failed), (2, 3));
        assert_eq!(row.failures[2], "`e` ended with no status, not with [3]");
    }

    #[test]
    fn the_input_is_a_safetensors_file() {
        let file = tensors();
        let length = u64::from_le_bytes(file[..8].try_into().expect("eight bytes")) as usize;
        let header: Value = serde_json::from_slice(&file[8..8 + length]).expect("JSON");
        assert_eq!(header["dy"]["data_offsets"][1], 768);
        assert_eq!(file.len(), 8 + length + 768);
    }
}
