//! `cargo xtask records`: the tables of the pages, made from the raw records.
//!
//! A record is the JSON that a measuring program wrote, kept as
//! `benches/record/<machine>/<date>-<what>.json`. A page holds a table between two comments: the first says
//! what makes it, the second is [`END`]. This command writes what stands between them again, and a test
//! compares.

mod directive;
mod tables;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use self::directive::Directive;
use crate::{Failed, Steps, root};

const START: &str = "<!-- made by cargo xtask records: ";
const END: &str = "<!-- end -->";

/// Where pages with tables are.
const PAGES: &str = "docs/measurements";
const RECORDS: &str = "benches/record";

/// Checks every record and writes the tables of all pages again.
pub fn run(steps: &mut Steps) -> Result<(), Failed> {
    steps.run("records", || {
        let records = files(&root().join(RECORDS), "json")?;
        for record in &records {
            read(record)?;
        }
        println!("{} records are well formed", records.len());
        Ok(())
    })?;
    steps.run("tables", || {
        for page in files(&root().join(PAGES), "md")? {
            let old = text(&page)?;
            let new = remade(&old).map_err(|e| format!("{}: {e}", page.display()))?;
            if new != old {
                fs::write(&page, new)
                    .map_err(|e| format!("cannot write {}: {e}", page.display()))?;
                println!("changed: {}", page.display());
            }
        }
        Ok(())
    })
}

/// A record, checked.
pub fn read(file: &Path) -> Result<Value, String> {
    let bytes = fs::read(file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
    bench_record::read(&bytes)
        .map(|(_, value)| value)
        .map_err(|refused| format!("{} is no record: {refused}", file.display()))
}

/// The commit that is checked out, for a record; `None` outside git.
pub fn commit() -> Option<String> {
    let mut git = Command::new("git");
    git.args(["rev-parse", "--short", "HEAD"])
        .current_dir(root());
    let output = git.stderr(Stdio::null()).output().ok()?;
    let name = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| name.trim().to_owned())
}

/// The day in UTC, for a record.
pub fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH);
    date(seconds.map_or(0, |since| since.as_secs() / 86_400))
}

/// The Gregorian date so many days after 1970-01-01.
fn date(mut days: u64) -> String {
    let is_leap =
        |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", days + 1)
}

/// The page with each of its tables made again.
fn remade(page: &str) -> Result<String, String> {
    let mut text = String::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        text.push_str(line);
        text.push('\n');
        let Some(words) = line.strip_prefix(START) else {
            continue;
        };
        let words = words
            .strip_suffix(" -->")
            .ok_or_else(|| format!("this line does not end with ` -->`: {line}"))?;
        let made = Directive::parse(words)?.table(&|file| read(&root().join(file)))?;
        text.push('\n');
        text.push_str(&made);
        text.push_str(END);
        text.push('\n');
        if !lines.any(|line| line == END) {
            return Err(format!("no line `{END}` follows: {line}"));
        }
    }
    Ok(text)
}

/// All files under a folder whose names end so, in order.
fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, String> {
    let problem = |e| format!("cannot list {}: {e}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(problem)? {
        let path = entry.map_err(problem)?.path();
        if path.is_dir() {
            found.extend(files(&path, ending)?);
        } else if path.extension().is_some_and(|e| e == ending) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn text(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|e| format!("cannot read {}: {e}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_hold_what_the_command_makes() {
        let mut tables = 0;
        for page in files(&root().join(PAGES), "md").unwrap() {
            let committed = text(&page).unwrap();
            tables += committed.matches(START).count();
            let made = remade(&committed).unwrap();
            assert!(
                made == committed,
                "{} differs from its records: run `cargo xtask records`",
                page.display()
            );
        }
        assert!(tables > 0, "no page has a table that is made");
    }

    #[test]
    fn every_record_is_well_formed_and_lies_under_its_machine_and_date() {
        let folder = root().join(RECORDS);
        for record in files(&folder, "json").unwrap() {
            let value = read(&record).unwrap();
            let place = record.strip_prefix(&folder).unwrap();
            let name = place.file_name().unwrap().to_str().unwrap();
            let date = value["date"].as_str().unwrap();
            assert_eq!(place.components().count(), 2, "{}", place.display());
            assert_eq!(name.get(..10), date.get(..10), "{}", place.display());
        }
    }

    #[test]
    fn a_changed_figure_is_seen() {
        let page = files(&root().join(PAGES), "md")
            .unwrap()
            .iter()
            .map(|page| text(page).unwrap())
            .find(|page| page.contains(START))
            .expect("a page has a table that is made");
        let table = page.find(START).unwrap();
        let digit = table + START.len();
        let at = page[digit..].find("| ").unwrap() + digit + 2;
        let mut spoilt = page.clone();
        spoilt.insert(at, '7');
        assert_eq!(remade(&spoilt).unwrap(), page);
    }

    #[test]
    fn days_are_dates() {
        for (days, expected) in [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (364, "1970-12-31"),
            (11_016, "2000-02-29"),
            (20_785, "2026-11-28"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(date(days), expected);
        }
    }

    #[test]
    fn a_page_that_cannot_be_made_says_why() {
        for (page, expected) in [
            (
                "<!-- made by cargo xtask records: host\n",
                "does not end with",
            ),
            (
                "<!-- made by cargo xtask records: pie of=x -->\n<!-- end -->\n",
                "`pie`",
            ),
            (
                "<!-- made by cargo xtask records: host of=no/such.json -->\n<!-- end -->\n",
                "no/such.json",
            ),
            (
                "<!-- made by cargo xtask records: host -->\n<!-- end -->\n",
                "`of`",
            ),
        ] {
            let problem = remade(page).expect_err(page);
            assert!(problem.contains(expected), "{problem}");
        }
    }
}
