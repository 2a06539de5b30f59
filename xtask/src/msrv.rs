//! The oldest Rust that the package promises to build with.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::groups::{CORE, Group};
use crate::{CommandExt as _, Failed, Steps};

/// `cargo xtask msrv`.
pub fn run(steps: &mut Steps) -> Result<(), Failed> {
    let metadata = steps.run(&CORE.step("metadata"), || metadata(&CORE))?;
    let ours = steps.run(&CORE.step("minimum Rust of dependencies"), || {
        check_dependencies(&CORE, &metadata)
    })?;
    steps.run(&CORE.step("check with the minimum Rust"), || {
        check_with_toolchain(&ours)
    })
}

/// What `cargo metadata` says of a group and of every dependency.
pub fn metadata(group: &Group) -> Result<Value, String> {
    let json = group.cargo(["metadata", "--format-version", "1"]).read()?;
    serde_json::from_slice(&json).map_err(|error| format!("cannot read the metadata: {error}"))
}

/// Fails if a dependency, on any platform and for development too, needs a
/// newer Rust than the package. Gives the package's own `rust-version`.
pub fn check_dependencies(group: &Group, metadata: &Value) -> Result<String, String> {
    let packages = metadata["packages"].as_array().ok_or("no packages")?;
    let name = group.package;
    let ours = packages
        .iter()
        .find(|package| package["name"] == name)
        .and_then(|package| package["rust_version"].as_str())
        .ok_or_else(|| format!("{name} has no rust-version"))?;
    let newer = newer_than(ours, packages)?;
    if !newer.is_empty() {
        return Err(format!(
            "these packages need a newer Rust than the {ours} of {name}:\n    {}",
            newer.join("\n    ")
        ));
    }
    let silent = packages.iter().filter(|p| p["rust_version"].is_null());
    println!(
        "of {} packages none asks for a Rust newer than {ours} ({} name no version)",
        packages.len(),
        silent.count()
    );
    Ok(ours.to_owned())
}

/// The packages, with their needs, whose `rust-version` is above `ours`.
fn newer_than(ours: &str, packages: &[Value]) -> Result<Vec<String>, String> {
    let limit = version(ours).ok_or_else(|| format!("`{ours}` is no version"))?;
    let mut newer = Vec::new();
    for package in packages {
        let Some(need) = package["rust_version"].as_str() else {
            continue;
        };
        let name = package["name"].as_str().unwrap_or("a package");
        let parsed = version(need)
            .ok_or_else(|| format!("{name} has the rust-version `{need}`, which is no version"))?;
        if parsed > limit {
            let release = package["version"].as_str().unwrap_or("");
            newer.push(format!("{name} {release} needs Rust {need}"));
        }
    }
    Ok(newer)
}

/// A `rust-version`: one to three numbers, those left out being zero.
fn version(text: &str) -> Option<[u32; 3]> {
    let mut numbers = [0; 3];
    let mut parts = text.split('.');
    for (number, part) in numbers.iter_mut().zip(parts.by_ref()) {
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

/// Checks the package with the toolchain `ours`, if rustup has it.
fn check_with_toolchain(ours: &str) -> Result<(), String> {
    let Some(toolchain) = toolchain_names(ours)
        .into_iter()
        .find(|name| is_installed(name))
    else {
        println!(
            "the toolchain {ours} is not installed here, so nothing was checked with it; \
             CI does that (or: rustup toolchain install {ours} --profile minimal)"
        );
        return Ok(());
    };
    rustup_run(&toolchain)
        .args(["check", "--locked", "--all-features"])
        .run()
}

/// The names under which rustup may have the version: `1.88` and `1.88.0`.
fn toolchain_names(version: &str) -> Vec<String> {
    let mut names = vec![version.to_owned()];
    if version.matches('.').count() == 1 {
        names.push(format!("{version}.0"));
    }
    names
}

fn is_installed(toolchain: &str) -> bool {
    rustup_run(toolchain)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// `rustup run <toolchain> cargo`, which is `cargo +<toolchain>` without
/// installing the toolchain. This program's own toolchain is left behind.
fn rustup_run(toolchain: &str) -> Command {
    let mut command = Command::new("rustup");
    command
        .args(["run", toolchain, "cargo"])
        .env("RUSTUP_AUTO_INSTALL", "0")
        .env_remove("CARGO")
        .env_remove("RUSTUP_TOOLCHAIN");
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn versions_compare_by_number() {
        assert_eq!(version("1.88"), Some([1, 88, 0]));
        assert_eq!(version("1.88.1"), Some([1, 88, 1]));
        assert_eq!(version("2"), Some([2, 0, 0]));
        assert!(version("1.9") < version("1.88"));
        assert_eq!(version("1.88"), version("1.88.0"));
        for text in ["", "1.", "1.88.0.1", "1.88-beta", "stable"] {
            assert_eq!(version(text), None, "{text:?}");
        }
    }

    fn metadata_with(need: Value) -> Value {
        json!({ "packages": [
            { "name": CORE.package, "version": "0.1.0", "rust_version": "1.88" },
            { "name": "silent", "version": "1.0.0", "rust_version": null },
            { "name": "dependency", "version": "3.2.1", "rust_version": need },
        ]})
    }

    #[test]
    fn a_dependency_may_need_an_older_rust_or_the_same() {
        for need in ["1.60", "1.88", "1.88.0"] {
            let ours = check_dependencies(&CORE, &metadata_with(json!(need)));
            assert_eq!(ours.as_deref(), Ok("1.88"), "{need}");
        }
    }

    #[test]
    fn a_dependency_that_needs_a_newer_rust_is_named() {
        for need in ["1.88.1", "1.89", "2.0"] {
            let error = check_dependencies(&CORE, &metadata_with(json!(need)))
                .expect_err("the dependency is too new");
            assert!(error.contains(&format!("dependency 3.2.1 needs Rust {need}")));
        }
    }

    #[test]
    fn what_cannot_be_compared_is_an_error() {
        assert!(check_dependencies(&CORE, &metadata_with(json!("new"))).is_err());
        assert!(check_dependencies(&CORE, &json!({})).is_err());
        assert!(check_dependencies(&CORE, &json!({ "packages": [] })).is_err());
    }

    #[test]
    fn a_toolchain_may_be_named_with_its_patch_version() {
        assert_eq!(toolchain_names("1.88"), ["1.88", "1.88.0"]);
        assert_eq!(toolchain_names("1.88.1"), ["1.88.1"]);
    }
}
