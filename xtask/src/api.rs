//! The public API of the library, compared with the listing that the repository holds.
//!
//! The listing is made of what rustdoc knows, by the crate `public-api`, whose version is pinned in `Cargo.toml`. Rustdoc's JSON
//! belongs to one version of Rust, [`RUST`], and is there for nightly alone: stable gives it where `RUSTC_BOOTSTRAP` is set.
//! That variable would have the dependencies compiled again, so only rustdoc sees it: cargo runs this program in its place.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use public_api::Builder;

use crate::groups::CORE;
use crate::{CommandExt as _, Failed, Steps, msrv, root};

/// The Rust whose rustdoc writes the JSON that this `public-api` reads.
const RUST: &str = "1.95";
const LISTING: &str = "docs/public-api.txt";
/// All that users may ask for; `internals` promises nothing, and is not listed.
const FEATURES: &str = "cpu,state,reference,tuning";
/// Set where cargo runs this program as rustdoc.
const AS_RUSTDOC: &str = "WGBN_XTASK_AS_RUSTDOC";

/// Runs rustdoc, where this program was started in its place.
pub fn as_rustdoc() -> Option<ExitCode> {
    env::var_os(AS_RUSTDOC)?;
    let status = Command::new("rustdoc")
        .args(env::args_os().skip(1))
        .env("RUSTC_BOOTSTRAP", "1")
        .status();
    Some(match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// `cargo xtask api`.
pub fn run(steps: &mut Steps, write: bool) -> Result<(), Failed> {
    steps.run("public API", || match write {
        true => {
            let listing = made()?;
            fs::write(root().join(LISTING), listing).map_err(|e| format!("{LISTING}: {e}"))
        }
        false => compare(),
    })
}

/// Fails where the API is another than the listing's.
pub fn compare() -> Result<(), String> {
    let version = rust_version()?;
    if !is_the_named(&version) {
        println!(
            "skipped: the public API was not compared: that takes Rust {RUST}, and this is {version}"
        );
        return Ok(());
    }
    let expected =
        fs::read_to_string(root().join(LISTING)).map_err(|e| format!("{LISTING}: {e}"))?;
    let made = made()?;
    let differences = differences(&expected, &made);
    internals(&made)?;
    if differences.is_empty() {
        println!("{} public items, as listed", made.lines().count());
        return Ok(());
    }
    Err(format!(
        "the public API is not that of {LISTING} (`cargo xtask api --write` writes it again):\n{}",
        differences.join("\n")
    ))
}

/// Names of the planner's and the shaders' insides: with one of them in public, a better kernel would be a
/// breaking release.
const INSIDES: [&str; 12] = [
    "Schedule", "Piece", "Grid", "Tuning", "Machine", "Kernel", "Variant", "Role", "Storage",
    "Load", "Dispatch", "Bound",
];

/// Fails where a public item has, or is in, one of those names.
fn internals(listing: &str) -> Result<(), String> {
    let words = |line: &str| -> Vec<String> {
        let apart = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        apart.map(str::to_owned).collect()
    };
    let names = |line: &&str| {
        words(line)
            .iter()
            .any(|word| INSIDES.contains(&word.as_str()))
    };
    let public: Vec<&str> = listing.lines().filter(names).collect();
    match public.is_empty() {
        true => Ok(()),
        false => Err(format!("insides are public:\n{}", public.join("\n"))),
    }
}

/// Lines that only one of the two has.
fn differences(expected: &str, made: &str) -> Vec<String> {
    let only = |sign: char, of: &str, not_of: &str| -> Vec<String> {
        let others: std::collections::HashSet<&str> = not_of.lines().collect();
        let lines = of.lines().filter(|line| !others.contains(line));
        lines.map(|line| format!("{sign} {line}")).collect()
    };
    [only('-', expected, made), only('+', made, expected)].concat()
}

fn made() -> Result<String, String> {
    let this = env::current_exe().map_err(|e| e.to_string())?;
    let metadata = msrv::metadata(&CORE)?;
    let target = metadata["target_directory"]
        .as_str()
        .ok_or("no target folder")?;
    CORE.cargo(["doc", "--no-deps", "--lib"])
        .args(["--package", CORE.package, "--features", FEATURES])
        .env("RUSTDOC", this)
        .env(AS_RUSTDOC, "1")
        .env("RUSTDOCFLAGS", "-Z unstable-options --output-format json")
        .run()?;
    let json = Path::new(target).join("doc/wgpu_batchnorm.json");
    let api = Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .map_err(|e| format!("the public API cannot be listed: {e}"))?;
    Ok(api.items().map(|item| format!("{item}\n")).collect())
}

fn rust_version() -> Result<String, String> {
    let text = Command::new("rustc").arg("--version").read()?;
    let text = String::from_utf8_lossy(&text);
    let version = text.split_whitespace().nth(1);
    version
        .map(str::to_owned)
        .ok_or_else(|| format!("`{text}` is no version of Rust"))
}

fn is_the_named(version: &str) -> bool {
    version
        .strip_prefix(RUST)
        .is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_rust_is_taken() {
        assert!(is_the_named("1.95.0"));
        assert!(!is_the_named("1.96.0"));
        assert!(!is_the_named("1.9.5"));
        assert!(!is_the_named("1.950.0"));
    }

    #[test]
    fn an_item_more_or_less_is_a_difference() {
        assert!(differences("a\nb\n", "b\na\n").is_empty());
        assert_eq!(differences("a\nb\n", "a\nc\n"), ["- b", "+ c"]);
    }

    #[test]
    fn insides_are_noticed() {
        assert!(internals("pub fn wgpu_batchnorm::Plan::workspace_bytes(&self) -> u64\n").is_ok());
        assert!(internals("pub fn wgpu_batchnorm::Plan::schedule(&self) -> &Schedule\n").is_err());
        assert!(internals("pub wgpu_batchnorm::plan::Grid::rows: u32\n").is_err());
    }
}
