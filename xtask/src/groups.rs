//! Groups of packages that are built and checked together, each with its own lock file.
//!
//! The core is the workspace: what `cargo xtask test` checks. Every other group lies outside of it, so that
//! its dependencies and its minimum Rust are its own, and the core is built and tested without it.

use std::process::Command;

use crate::cargo;

/// Packages that share a `Cargo.lock`.
pub struct Group {
    /// In the names of steps.
    pub name: &'static str,
    /// Its `Cargo.toml`, from the root of the repository.
    pub manifest: &'static str,
    /// The package whose `rust-version` is the group's.
    pub package: &'static str,
}

/// The library, its command line, and what tests them.
pub const CORE: Group = Group {
    name: "core",
    manifest: "Cargo.toml",
    package: "wgpu-batchnorm",
};

impl Group {
    /// A cargo command for this group, which leaves its lock file as it is.
    pub fn cargo<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = cargo(args);
        command.args(["--locked", "--manifest-path", self.manifest]);
        command
    }

    /// The name of a step on this group.
    pub fn step(&self, what: &str) -> String {
        format!("{}: {what}", self.name)
    }
}
