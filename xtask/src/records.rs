//! `cargo xtask records`: the tables of the pages, made from the raw records.
//!
//! A record is the JSON that a measuring program wrote, kept as
//! `benches/record/<machine>/<date>-<what>.json`. A page holds a table between two comments: the first says
//! what makes it, the second is [`END`]. This command writes what stands between them again, and a test
//! compares.

mod change;
mod directive;
pub mod file;
mod tables;

use std::fs;
use std::path::{Path, PathBuf};

use self::directive::Directive;
use self::file::read;
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
