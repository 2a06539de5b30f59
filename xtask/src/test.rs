//! `cargo xtask test`: every check of the core, in order.

use crate::groups::{CORE, Group};
use crate::{
    ADAPTER_LOG, CommandExt as _, Failed, Steps, adapter, api, build_program, features, in_target,
    msrv, package, programs, skipped,
};

pub fn run(steps: &mut Steps) -> Result<(), Failed> {
    check(steps, &CORE)
}

fn check(steps: &mut Steps, group: &Group) -> Result<(), Failed> {
    let metadata = steps.run(&group.step("metadata"), || msrv::metadata(group))?;

    // The probe for an adapter is the project's own program. Building every
    // target, as the tests do, gives the dependencies the same features, so
    // that nothing is compiled twice. (Without this program: Windows does not
    // let cargo replace it while it runs.)
    let wgbn = steps.run(&group.step("build"), || {
        let args = ["--workspace", "--exclude", "xtask", "--all-targets"];
        build_program(group.cargo(["build"]).args(args), "wgbn")
    })?;
    steps.run("adapter", || adapter::ensure(&wgbn))?;

    steps.run(&group.step("rustfmt"), || {
        let mut fmt = crate::cargo(["fmt", "--all", "--manifest-path", group.manifest]);
        fmt.args(["--", "--check"]).run()
    })?;
    steps.run(&group.step("clippy"), || {
        let mut clippy = group.cargo(["clippy", "--workspace", "--all-targets"]);
        clippy.args(["--", "-D", "warnings"]).run()
    })?;
    steps.run(&group.step("clippy, each set of features"), || {
        features::native(group)
    })?;
    steps.run(&group.step("WebAssembly"), || features::wasm(group))?;

    let log = in_target(&metadata, "adapter-log.txt");
    let skips = in_target(&metadata, "skipped-log.txt");
    steps.run(&group.step("tests"), || {
        adapter::start_log(&log)?;
        adapter::start_log(&skips)?;
        let mut tests = group.cargo(["test", "--workspace", "--all-targets"]);
        tests.env(ADAPTER_LOG, &log).env(skipped::LOG, &skips).run()
    })?;
    steps.run(&group.step("doc tests"), || {
        // Of the whole workspace: of one package, dependencies would be compiled again with fewer features.
        let mut tests = group.cargo(["test", "--workspace", "--doc"]);
        tests.env(ADAPTER_LOG, &log).run()
    })?;
    programs::run(steps)?;
    steps.run("tests ran on an adapter", || {
        adapter::read_log(&log).map(drop)
    })?;
    steps.run("what tests skipped", || skipped::read(&skips))?;

    steps.run(&group.step("documentation"), || {
        let mut doc = group.cargo(["doc", "--no-deps", "--workspace"]);
        doc.env("RUSTDOCFLAGS", "-D warnings").run()
    })?;
    steps.run("public API", api::compare)?;
    steps.run("package", || package::check(group))?;
    steps.run(&group.step("minimum Rust of dependencies"), || {
        msrv::check_dependencies(group, &metadata).map(drop)
    })
}
