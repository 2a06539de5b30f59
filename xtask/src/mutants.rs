//! Whether the tests notice a wrong shader.
//!
//! `tests/mutants/shaders.txt` lists small changes, each of which makes some result wrong. The test
//! programs are built once, and hold the shaders as text: a mutant is a copy of the program with that
//! text changed, which takes no time to make. A mutant that passes the tests named with it has the
//! other kernel and API tests to pass; one that passes these too has found a gap.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;
use std::{env, fs};

use serde_json::Value;

use crate::{CommandExt as _, Failed, Steps, adapter, build_program, cargo, root};

const LIST: &str = "tests/mutants/shaders.txt";

/// Tests that look at the text of a shader instead of its results. A mutant that they refuse is no
/// WGSL, and would be caught by anything.
const VALID: &str = "translates_to_every_language";

/// All kernel tests but those, and but tensors of 300 MB: they run the same kernels, for minutes.
const OTHERS: [&str; 4] = ["--skip", "shaders::", "--skip", "large::"];

/// One entry of the list.
#[derive(Debug, PartialEq)]
struct Mutant {
    name: String,
    file: String,
    before: String,
    after: String,
    /// Filters of the kernel tests that should notice it.
    tests: Vec<String>,
}

/// `cargo xtask mutants`, of all mutants or those whose names contain `only`.
pub fn run(steps: &mut Steps, only: &str) -> Result<(), Failed> {
    let mutants = steps.run("list", || {
        let text = read(&root().join(LIST))?;
        let all = parse(&text)?;
        for mutant in &all {
            mutant.apply(&read(&root().join(&mutant.file))?)?;
        }
        let chosen: Vec<_> = all.into_iter().filter(|m| m.name.contains(only)).collect();
        match chosen.is_empty() {
            true => Err(format!("no mutant's name contains `{only}`")),
            false => Ok(chosen),
        }
    })?;
    let (wgbn, programs) = steps.run("build", || {
        let args = ["build", "--locked", "--package", "wgbn"];
        Ok((
            build_program(&mut crate::cargo(args), "wgbn")?,
            Programs::build()?,
        ))
    })?;
    steps.run("adapter", || adapter::ensure(&wgbn))?;
    steps.run("without a mutation", || programs.control(&mutants))?;
    let mut table = Vec::new();
    for mutant in &mutants {
        let start = Instant::now();
        let outcome = steps.run(&mutant.name, || programs.outcome(mutant))?;
        let seconds = start.elapsed().as_secs_f64();
        let (caught, by) = match &outcome {
            Outcome::Caught(test) => ("caught", &**test),
            Outcome::Survived => ("SURVIVED", "no test"),
            Outcome::Invalid => ("INVALID", "no WGSL"),
        };
        let line = format!("{caught:<9} {seconds:>6.1} s  {:<58} {by}", mutant.name);
        println!("{line}");
        table.push((line, matches!(outcome, Outcome::Caught(_))));
    }
    steps.run("score", || {
        table.iter().for_each(|(line, _)| println!("{line}"));
        let caught = table.iter().filter(|(_, caught)| *caught).count();
        println!("{caught} of {} caught", table.len());
        match caught == table.len() {
            true => Ok(()),
            false => Err("not every mutant was caught".to_owned()),
        }
    })
}

enum Outcome {
    /// By this test.
    Caught(String),
    Survived,
    Invalid,
}

/// The test programs, built from the work tree, and where mutants of them are written.
struct Programs {
    kernels: Vec<u8>,
    api: Vec<u8>,
    mutant: PathBuf,
}

impl Programs {
    fn build() -> Result<Self, String> {
        let [kernels, api] = ["kernels", "api"].map(test_program);
        let (kernels, api) = (kernels?, api?);
        let mutant = kernels.with_file_name(format!("mutant{}", env::consts::EXE_SUFFIX));
        // With the permission to run it.
        fs::copy(&kernels, &mutant).map_err(|error| error.to_string())?;
        let bytes = |path: &Path| fs::read(path).map_err(|error| error.to_string());
        Ok(Self {
            kernels: bytes(&kernels)?,
            api: bytes(&api)?,
            mutant,
        })
    }

    /// With a shader that only lost its comments, the tests that are to tell pass; every filter means
    /// some test.
    fn control(&self, mutants: &[Mutant]) -> Result<(), String> {
        self.write(&self.kernels, None)?;
        let names = Command::new(&self.mutant).arg("--list").read()?;
        let names = String::from_utf8_lossy(&names).into_owned();
        for mutant in mutants {
            for filter in &mutant.tests {
                if !names.lines().any(|name| name.contains(&**filter)) {
                    return Err(format!("{}: no test is called {filter}", mutant.name));
                }
            }
        }
        let filters: BTreeSet<_> = mutants.iter().flat_map(|mutant| &mutant.tests).collect();
        let filters: Vec<&str> = filters.into_iter().map(|filter| &**filter).collect();
        match self.failed(&filters)? {
            None => Ok(()),
            Some(test) => Err(format!("{test} fails without a mutation")),
        }
    }

    fn outcome(&self, mutant: &Mutant) -> Result<Outcome, String> {
        self.write(&self.kernels, Some(mutant))?;
        if self.failed(&[VALID])?.is_some() {
            return Ok(Outcome::Invalid);
        }
        let named: Vec<&str> = mutant.tests.iter().map(String::as_str).collect();
        let caught = match self.failed(&named)? {
            Some(test) => Some(test),
            None => self.failed_others(Some(mutant))?,
        };
        let Some(test) = caught else {
            return Ok(Outcome::Survived);
        };
        // Seldom needed, so not part of the control.
        if !mutant.tests.iter().any(|filter| test.contains(&**filter))
            && let Some(test) = self.failed_others(None)?
        {
            return Err(format!("{test} fails without a mutation"));
        }
        Ok(Outcome::Caught(test))
    }

    /// The first that fails of the tests that nobody named.
    fn failed_others(&self, mutant: Option<&Mutant>) -> Result<Option<String>, String> {
        self.write(&self.kernels, mutant)?;
        if let Some(test) = self.failed(&OTHERS)? {
            return Ok(Some(test));
        }
        self.write(&self.api, mutant)?;
        self.failed(&[])
    }

    /// Writes the program with the mutant's shader, or with one that only lost its comments.
    fn write(&self, program: &[u8], mutant: Option<&Mutant>) -> Result<(), String> {
        let file = mutant.map_or("shaders/shared/params.wgsl", |mutant| &mutant.file);
        let text = read(&root().join(file))?;
        let mutated = mutant.map_or(Ok(text.clone()), |mutant| mutant.apply(&text))?;
        let place = fit(&mutated, text.len()).ok_or_else(|| format!("{file}: no room"))?;
        let mut program = program.to_vec();
        match replace(&mut program, text.as_bytes(), place.as_bytes()) {
            0 => Err(format!("the tests do not hold {file} as text")),
            _ => fs::write(&self.mutant, program).map_err(|error| error.to_string()),
        }
    }

    /// The first test of the mutant that fails, if one does.
    fn failed(&self, args: &[&str]) -> Result<Option<String>, String> {
        let output = Command::new(&self.mutant)
            .args(args)
            .current_dir(root())
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("cannot run {}: {error}", self.mutant.display()))?;
        if output.status.success() {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&output.stdout);
        // Without such a line the program ended by itself, in a driver for example.
        let ended = || format!("({})", output.status);
        Ok(Some(first_failure(&text).map_or_else(ended, str::to_owned)))
    }
}

/// Builds one of the test programs.
fn test_program(name: &str) -> Result<PathBuf, String> {
    let messages = cargo(["test", "--locked", "--no-run", "--test", name])
        .arg("--message-format=json-render-diagnostics")
        .read()?;
    String::from_utf8_lossy(&messages)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| format!("cargo built no tests `{name}`"))
}

/// The shader in so many bytes: without its comments, and with spaces for what is left.
fn fit(shader: &str, len: usize) -> Option<String> {
    let lines = shader.lines();
    // What a file needs is no comment to the composer.
    let comment = |line: &str| line.starts_with("//") && !line.starts_with("// needs: ");
    let code = lines.filter(|line| !comment(line.trim_start()));
    let code: String = code.flat_map(|line| [line, "\n"]).collect();
    let spare = len.checked_sub(code.len())?;
    Some(code + &" ".repeat(spare))
}

/// Replaces every `before` by `after`, which is as long, and counts them.
fn replace(bytes: &mut [u8], before: &[u8], after: &[u8]) -> usize {
    let mut count = 0;
    let mut from = 0;
    while let Some(found) = find(&bytes[from..], before) {
        from += found + before.len();
        bytes[from - before.len()..from].copy_from_slice(after);
        count += 1;
    }
    count
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    let starts = bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == part[0]);
    let mut starts = starts.map(|(at, _)| at);
    starts.find(|&at| bytes[at..].starts_with(part))
}

/// The first test that a test program reports as failed.
fn first_failure(output: &str) -> Option<&str> {
    let mut lines = output.lines();
    lines.find_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"))
}

impl Mutant {
    /// The file's text with the mutation; its place must be the only one of its kind.
    fn apply(&self, text: &str) -> Result<String, String> {
        match text.matches(&self.before).count() {
            1 => Ok(text.replace(&self.before, &self.after)),
            found => Err(format!(
                "{}: `{}` is in {} {found} times",
                self.name, self.before, self.file
            )),
        }
    }
}

/// Reads the list: `[name] file`, the lines before (`-`) and after (`+`), and test filters (`?`).
fn parse(text: &str) -> Result<Vec<Mutant>, String> {
    let mut mutants: Vec<Mutant> = Vec::new();
    for line in text.lines() {
        let wrong = || format!("{LIST}: cannot understand `{line}`");
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(head) = line.strip_prefix('[') {
            let (name, file) = head.split_once("] ").ok_or_else(wrong)?;
            mutants.push(Mutant {
                name: name.to_owned(),
                file: format!("shaders/{file}.wgsl"),
                before: String::new(),
                after: String::new(),
                tests: Vec::new(),
            });
            continue;
        }
        let (mark, rest) = line.split_once(' ').ok_or_else(wrong)?;
        let mutant = mutants.last_mut().ok_or_else(wrong)?;
        match mark {
            "-" => append(&mut mutant.before, rest),
            "+" => append(&mut mutant.after, rest),
            "?" => mutant.tests.extend(rest.split(' ').map(str::to_owned)),
            _ => return Err(wrong()),
        }
    }
    let mut names = BTreeSet::new();
    for mutant in &mutants {
        let complete = !mutant.before.is_empty() && !mutant.tests.is_empty();
        if !complete || mutant.before == mutant.after || !names.insert(&mutant.name) {
            return Err(format!("{LIST}: {} is incomplete or twice", mutant.name));
        }
    }
    Ok(mutants)
}

fn append(text: &mut String, line: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(line);
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str =
        "# why\n[a name] shared/y\n- let a = 1;\n-     b\n+ let a = 2;\n+     b\n? x y\n";

    #[test]
    fn an_entry_is_applied_where_it_fits_once() {
        let mutants = parse(ENTRY).unwrap();
        let [mutant] = &mutants[..] else {
            panic!("{mutants:?}");
        };
        assert_eq!(mutant.name, "a name");
        assert_eq!(mutant.file, "shaders/shared/y.wgsl");
        assert_eq!(mutant.tests, ["x", "y"]);
        let text = "let a = 1;\n    b\nlet a = 3;\n";
        let mutated = mutant.apply(text).unwrap();
        assert_eq!(mutated, "let a = 2;\n    b\nlet a = 3;\n");
        assert!(mutant.apply("let a = 3;\n").is_err());
        assert!(mutant.apply(&text.repeat(2)).is_err());
    }

    #[test]
    fn what_is_incomplete_is_refused() {
        for text in [
            "- before its name\n",
            "[a] f\n- same\n+ same\n? t\n",
            "[a] f\n+ nothing before\n? t\n",
            "[a] f\n- no tests\n+ none\n",
            "[a] f\nno mark\n",
            &ENTRY.repeat(2),
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_list_fits_the_shaders() {
        let mutants = parse(&read(&root().join(LIST)).unwrap()).unwrap();
        assert!(mutants.len() >= 40);
        for mutant in mutants {
            let text = read(&root().join(&mutant.file)).unwrap();
            mutant.apply(&text).unwrap();
        }
    }

    #[test]
    fn a_mutated_shader_takes_the_place_of_the_first() {
        let shader = "// needs: x\n// why\nfn f() {\n    // how\n    g();\n}\n";
        let mutated = fit(&shader.replace('g', "h"), shader.len()).unwrap();
        let code = "// needs: x\nfn f() {\n    h();\n}\n";
        assert_eq!(mutated.trim_end_matches(' '), code);
        let mut program = format!("\0{shader}\0{shader}end").into_bytes();
        let (before, after) = (shader.as_bytes(), mutated.as_bytes());
        assert_eq!(replace(&mut program, before, after), 2);
        assert_eq!(program, format!("\0{mutated}\0{mutated}end").as_bytes());
        assert_eq!(replace(&mut program, before, after), 0);
        assert_eq!(fit(shader, code.len() - 1), None);
    }

    #[test]
    fn the_first_failure_is_named() {
        let output = "test a ... ok\ntest b::c ... FAILED\ntest d ... FAILED\n";
        assert_eq!(first_failure(output), Some("b::c"));
        assert_eq!(first_failure("test a ... ok\n"), None);
    }
}
