//! The seed table through the reference, the CPU path and every way the GPU cuts the work.

use testkit::case::table;
use testkit::gpu::{GpuEngine, gpu};
use testkit::outcome::{Cpu, Engine, Reference, judge};

fn drive(implementation: &dyn Engine) {
    let mut failures = Vec::new();
    for case in table() {
        let outcome = implementation.run(&case);
        for finding in judge(&case, &outcome).findings {
            if !finding.passed() {
                failures.push(format!("{}: {finding}", case.name));
            }
        }
    }
    let name = implementation.name();
    assert!(failures.is_empty(), "{name}:\n{}", failures.join("\n"));
}

#[test]
fn reference_passes_its_own_judge() {
    drive(&Reference);
}

#[test]
fn cpu() {
    drive(&Cpu);
}

#[test]
fn gpu_in_every_cut() {
    for implementation in GpuEngine::all(&gpu()) {
        drive(&implementation);
    }
}
