//! `cargo xtask portability`: the same tests and shaders on what implements Vulkan, GL and WebGPU
//! beside the adapter at hand.
//!
//! What is not installed is skipped, and said, with the way to get it; in CI it is installed, or
//! an error. Whatever ran and was wrong is an error, after all the rest has run.

mod dawn;
mod drivers;
mod null;
mod suite;
mod translations;
mod validation;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::{Failed, Steps, adapter, build_program, root};

/// The outcome of one implementation: a row of the table.
#[derive(Debug, Default)]
struct Row {
    name: String,
    version: String,
    passed: usize,
    failed: usize,
    skipped: usize,
    seconds: f64,
    /// What was left out, a line each; ignored tests have none.
    skips: Vec<String>,
    /// What was wrong, a line each.
    failures: Vec<String>,
}

impl Row {
    fn skip(&mut self, what: &str) {
        self.skips.push(what.to_owned());
        self.skipped += 1;
    }

    /// Adds another row's counts and lines.
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.skips.extend(other.skips);
        self.failures.extend(other.failures);
    }
}

/// All that came out, and what could not run: what it is, why, and how to change that.
#[derive(Default)]
struct Report {
    rows: Vec<Row>,
    missing: Vec<String>,
    /// What cannot be had on this system, whatever is installed.
    elsewhere: Vec<String>,
}

impl Report {
    fn ran(&mut self, start: Instant, mut row: Row) {
        row.seconds = start.elapsed().as_secs_f64();
        println!(
            "{} ({}): {} passed, {} failed, {} skipped",
            row.name, row.version, row.passed, row.failed, row.skipped
        );
        for failure in &row.failures {
            println!("FAILED on {}: {failure}", row.name);
        }
        self.rows.push(row);
    }

    fn missing(&mut self, what: impl Into<String>) {
        let what = what.into();
        println!("skipped: {what}");
        self.missing.push(what);
    }

    /// What is made of Debian's packages, and why it could not be made.
    fn missing_of_debian(&mut self, what: impl Into<String>) {
        if on_debian() {
            return self.missing(what);
        }
        let what = what.into();
        println!("skipped: {what}");
        self.elsewhere.push(what);
    }

    fn finish(&self, folder: &Path) -> Result<(), String> {
        let mut text = table(&self.rows);
        for row in &self.rows {
            for skip in &row.skips {
                text.push_str(&format!("- skipped on {}: {skip}\n", row.name));
            }
        }
        for missing in self.missing.iter().chain(&self.elsewhere) {
            text.push_str(&format!("- not run: {missing}\n"));
        }
        let file = folder.join("table.md");
        fs::write(&file, &text).map_err(|e| format!("cannot write {}: {e}", file.display()))?;
        print!("\n{text}");
        println!(
            "\nThis table, logs and shaders are in {}.",
            folder.display()
        );
        let failures: usize = self.rows.iter().map(|row| row.failures.len()).sum();
        if failures > 0 {
            return Err(format!("{failures} failures, as listed above"));
        }
        if self.rows.is_empty() {
            return Err("nothing is installed that could have run".to_owned());
        }
        if adapter::in_ci() && !self.missing.is_empty() {
            return Err("something is missing, and this is CI".to_owned());
        }
        Ok(())
    }
}

/// `cargo xtask portability`.
pub fn run(steps: &mut Steps) -> Result<(), Failed> {
    if adapter::in_ci() && cfg!(target_os = "linux") {
        steps.run("packages", || adapter::install(&packages()))?;
    }
    let wgbn = steps.run("build", || {
        suite::build()?;
        let args = ["build", "--locked", "--package", "wgbn"];
        build_program(&mut crate::cargo(args), "wgbn")
    })?;
    let folder = steps.run("folder", fresh_folder)?;
    let shaders = folder.join("shaders");

    let mut report = Report::default();
    steps.run("translations", || {
        translations::run(&mut report, &folder, &shaders)
    })?;
    steps.run("Dawn", || dawn::run(&mut report, &folder, &shaders))?;
    let usual = steps.run("the usual adapter", || drivers::Device::found(&wgbn, &[]))?;
    for driver in drivers::all() {
        let step = format!("tests, {}", driver.name);
        steps.run(&step, || {
            driver.run(&mut report, &wgbn, &folder, usual.as_ref())
        })?;
    }
    steps.run("validation layer", || validation::run(&mut report, &folder))?;
    steps.run("null devices", || null::run(&mut report, &wgbn, &folder))?;
    steps.run("report", || report.finish(&folder))
}

/// What CI installs. Ubuntu's `chromium` only fetches a snap; GitHub's runners have Chrome, and with
/// it SwiftShader.
fn packages() -> Vec<&'static str> {
    let mut packages = vec![
        "glslang-tools",
        "libegl1",
        "libgl1-mesa-dri",
        "libvulkan1",
        "mesa-vulkan-drivers",
        "spirv-tools",
    ];
    if on_debian() {
        packages.push("chromium");
    }
    for program in ["node", "npm"] {
        if version(program).is_none() {
            packages.push(if program == "node" { "nodejs" } else { "npm" });
        }
    }
    packages
}

fn on_debian() -> bool {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    release.lines().any(|line| line == "ID=debian")
}

/// The first line of what `program --version` says, where there is such a program.
fn version(program: &str) -> Option<String> {
    let output = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next()?.trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}

/// `target/portability`, with nothing in it but an empty folder for shaders.
fn fresh_folder() -> Result<PathBuf, String> {
    let folder = root().join("target").join("portability");
    fs::remove_dir_all(&folder).ok();
    fs::create_dir_all(folder.join("shaders"))
        .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    Ok(folder)
}

fn table(rows: &[Row]) -> String {
    let mut text = "| implementation | version | run | passed | failed | skipped | time |\n\
                    |---|---|---|---|---|---|---|\n"
        .to_owned();
    for row in rows {
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} | {:.0} s |\n",
            row.name,
            row.version,
            row.passed + row.failed,
            row.passed,
            row.failed,
            row.skipped,
            row.seconds,
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_has_no_version() {
        assert!(version("cargo").is_some());
        assert_eq!(version("no such program"), None);
    }

    #[test]
    fn what_failed_or_ran_nothing_is_an_error() {
        let folder = std::env::temp_dir();
        let good = || Row {
            name: "Some driver".to_owned(),
            passed: 3,
            ..Row::default()
        };
        let finish = |rows: Vec<Row>| {
            Report {
                rows,
                ..Report::default()
            }
            .finish(&folder)
        };
        assert_eq!(finish(vec![good()]), Ok(()));
        assert!(finish(vec![]).is_err());
        let mut bad = good();
        bad.failures.push("a test".to_owned());
        assert!(finish(vec![good(), bad]).is_err());
        assert!(table(&[good()]).contains("| Some driver |  | 3 | 3 | 0 | 0 | 0 s |"));
    }
}
