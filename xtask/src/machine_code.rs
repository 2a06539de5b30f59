//! `cargo xtask machine-code`: what the compilers of AMD's and NVIDIA's open drivers make of every
//! shader, without a GPU: registers, workgroups that live at once, instructions a value.
//!
//! `docs/machine-code.md` says how to read it. A snapshot of each family and the limits lie in
//! `tests/machine-code`.

mod diff;
mod limits;
mod table;

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};

use self::limits::Limits;
use self::table::Table;
use crate::null_devices::{FAMILIES, Family, NullDevices};
use crate::records::file;
use crate::{Failed, Steps, build_program, root};

const PROGRAM: &str = "machine-code";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Show {
    Table,
    Diff,
    Write,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    families: Vec<Family>,
    json: Option<PathBuf>,
    show: Show,
}

impl Options {
    /// `None` for what cannot be understood.
    pub fn parse(args: &[&str]) -> Option<Self> {
        let mut options = Self {
            families: FAMILIES.to_vec(),
            json: None,
            show: Show::Table,
        };
        let mut args = args.iter();
        while let Some(&arg) = args.next() {
            match arg {
                "--family" => {
                    let name = args.next()?;
                    options.families.retain(|family| family.name == *name);
                }
                "--json" => options.json = Some(std::path::absolute(args.next()?).ok()?),
                "--diff" => options.show = Show::Diff,
                "--write" => options.show = Show::Write,
                _ => return None,
            }
        }
        (!options.families.is_empty()).then_some(options)
    }
}

/// `cargo xtask machine-code`.
pub fn run(steps: &mut Steps, options: &Options) -> Result<(), Failed> {
    let devices = steps.run("drivers", NullDevices::get)?;
    let program = steps.run("build", || {
        let args = ["build", "--locked", "--package", PROGRAM];
        build_program(&mut crate::cargo(args), PROGRAM)
    })?;
    let reports = steps.run("compile", || compile(&devices, &program, &options.families))?;
    if let Some(file) = &options.json {
        steps.run("JSON", || {
            let record = json!({
                "schema": bench_record::SCHEMA,
                "program": PROGRAM,
                "commit": file::commit(),
                "date": file::today(),
                "families": &reports,
            });
            bench_record::check(&record).map_err(|refused| refused.to_string())?;
            let text = format!("{record:#}\n");
            fs::write(file, text).map_err(|e| format!("cannot write {}: {e}", file.display()))
        })?;
    }
    let tables: Result<Vec<Table>, String> = reports.iter().map(Table::of).collect();
    let tables = steps.run("figures", || tables)?;
    match options.show {
        Show::Table => {
            for table in &tables {
                print!("\n{table}");
            }
        }
        Show::Diff => steps.run("changes", || {
            tables.iter().try_for_each(|table| {
                let changes = diff::changes(&snapshot(&table.family)?, table)?;
                println!("{}: {} rows differ", table.family, changes.len());
                changes.iter().for_each(|change| println!("  {change}"));
                Ok(())
            })
        })?,
        Show::Write => {
            return steps.run("snapshots", || tables.iter().try_for_each(write));
        }
    }
    steps.run("limits", || check(&tables))
}

/// The reports of all families, as many at once as there are processors.
fn compile(
    devices: &NullDevices,
    program: &Path,
    families: &[Family],
) -> Result<Vec<Value>, String> {
    let todo: Mutex<VecDeque<Family>> = Mutex::new(families.iter().copied().collect());
    let next = || todo.lock().ok()?.pop_front();
    let done = Mutex::new(Vec::new());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads.min(families.len()) {
            scope.spawn(|| {
                while let Some(family) = next() {
                    let start = Instant::now();
                    let report = report(devices, program, family);
                    println!("{}: {:.0} s", family.name, start.elapsed().as_secs_f64());
                    if let Ok(mut done) = done.lock() {
                        done.push((family.name, report));
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().map_err(|error| error.to_string())?;
    let place = |name| families.iter().position(|family| family.name == name);
    done.sort_by_key(|&(name, _)| place(name));
    done.into_iter().map(|(_, report)| report).collect()
}

/// All rows of a family, with weights and without: a process for each.
fn report(devices: &NullDevices, program: &Path, family: Family) -> Result<Value, String> {
    let mut report = rows(devices, program, family, "plain")?;
    let weighted = rows(devices, program, family, "weighted")?;
    let more = weighted["rows"].as_array().cloned().unwrap_or_default();
    match report["rows"].as_array_mut() {
        Some(rows) => rows.extend(more),
        None => return Err(format!("{}: no rows", family.name)),
    }
    Ok(report)
}

fn rows(
    devices: &NullDevices,
    program: &Path,
    family: Family,
    part: &str,
) -> Result<Value, String> {
    let output = devices
        .command(family, program)
        .args([family.name, part])
        .current_dir(root())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", family.name))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or_default();
        return Err(format!("{}: {}: {last}", family.name, output.status));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{}: no JSON: {error}", family.name))
}

/// Where snapshots and limits lie.
fn folder() -> PathBuf {
    root().join("tests").join("machine-code")
}

fn snapshot_file(family: &str) -> PathBuf {
    folder().join(format!("{family}.txt"))
}

fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))
}

fn snapshot(family: &str) -> Result<Table, String> {
    let file = snapshot_file(family);
    Table::parse(family, &read(&file)?).map_err(|e| format!("{}: {e}", file.display()))
}

fn write(table: &Table) -> Result<(), String> {
    let file = snapshot_file(&table.family);
    println!("{}: {} rows", file.display(), table.rows.len());
    fs::write(&file, table.to_string()).map_err(|e| format!("cannot write {}: {e}", file.display()))
}

/// Whether every figure keeps to its limit.
fn check(tables: &[Table]) -> Result<(), String> {
    let file = folder().join("limits.txt");
    let limits = Limits::parse(&read(&file)?).map_err(|e| format!("{}: {e}", file.display()))?;
    let mut exceeded = 0;
    for table in tables {
        let snapshot = snapshot(&table.family)?;
        let same = snapshot.driver == table.driver;
        if !same {
            println!(
                "{}: the snapshot is of {}, this is {}: only limits that are numbers are checked",
                table.family, snapshot.driver, table.driver
            );
        }
        for what in limits.exceeded(table, same.then_some(&snapshot)) {
            println!("EXCEEDED on {}: {what}", table.family);
            exceeded += 1;
        }
    }
    match exceeded {
        0 => Ok(()),
        _ => Err(format!(
            "{exceeded} figures exceed their limits, as listed above"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_understood() {
        let all = Options::parse(&[]).expect("nothing is needed");
        assert_eq!(
            (all.families.len(), all.show),
            (FAMILIES.len(), Show::Table)
        );
        let one = Options::parse(&["--diff", "--family", "navi31"]).expect("both are known");
        assert_eq!((one.families.len(), one.show), (1, Show::Diff));
        assert_eq!(one.families[0].name, "navi31");
        assert_eq!(Options::parse(&["--family", "voodoo"]), None);
        assert_eq!(Options::parse(&["--family"]), None);
        assert_eq!(Options::parse(&["--fast"]), None);
    }

    #[test]
    fn snapshots_of_all_families_and_limits_are_there_and_agree() {
        let limits = read(&folder().join("limits.txt")).and_then(|text| Limits::parse(&text));
        let limits = limits.expect("limits are there");
        for family in FAMILIES {
            let table = snapshot(family.name).expect("the snapshot is there");
            let text = read(&snapshot_file(family.name)).expect("it was read above");
            assert_eq!(table.to_string(), text);
            assert!(!table.rows.is_empty());
            let exceeded = limits.exceeded(&table, Some(&table));
            assert_eq!(exceeded, [""; 0], "{}", family.name);
        }
    }
}
