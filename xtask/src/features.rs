//! The library with each set of features that a user may choose, and for WebAssembly.

use std::process::Command;

use crate::groups::Group;
use crate::{CommandExt as _, adapter};

/// Sets of features without the default ones.
const SETS: [&str; 8] = [
    "",
    "blocking",
    "cpu",
    "state",
    "reference",
    "tuning",
    "internals",
    "blocking,cpu,state,reference,tuning",
];

const WASM: &str = "wasm32-unknown-unknown";

/// The planner, the operations, the reference and the CPU path know nothing of wgpu: with this cfg the library is
/// made of them alone, and wgpu is not even a dependency.
const HOST_ONLY: &str = "wgbn_host_only";

/// Each set of features, without a warning.
pub fn native(group: &Group) -> Result<(), String> {
    for set in SETS {
        lint(group, set).args(["--", "-D", "warnings"]).run()?;
    }
    Ok(())
}

fn lint(group: &Group, set: &str) -> Command {
    let mut command = group.cargo(["clippy", "--lib", "--no-default-features"]);
    command.args(["--package", group.package, "--features", set]);
    command
}

/// The library without features for WebAssembly, and what of it needs no wgpu, without wgpu.
pub fn wasm(group: &Group) -> Result<(), String> {
    if !installed() {
        let reason = format!("the target {WASM} is not installed, and rustup did not install it");
        if adapter::in_ci() {
            return Err(reason);
        }
        println!("skipped: the library for WebAssembly was not built, since {reason}");
        return Ok(());
    }
    let check = || {
        let mut command = group.cargo(["check", "--lib", "--no-default-features"]);
        command.args(["--package", group.package, "--target", WASM]);
        command
    };
    check().run()?;
    check()
        .args(["--features", "cpu,reference"])
        .env("RUSTFLAGS", format!("--cfg {HOST_ONLY}"))
        .run()
}

/// Whether the target is there, perhaps since now.
fn installed() -> bool {
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", WASM]).run().is_ok() || in_sysroot()
}

/// Rust without rustup keeps its targets there as well.
fn in_sysroot() -> bool {
    let libraries = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", WASM])
        .read();
    libraries.is_ok_and(|path| {
        let path = String::from_utf8_lossy(&path).trim().to_owned();
        std::path::Path::new(&path).is_dir()
    })
}
