//! What shows that a device runs what is submitted.

use wgpu_batchnorm::check::Finding;
use wgpu_batchnorm::checked;
use wgpu_batchnorm::error::RunError;
use wgpu_batchnorm::{BatchNorm, Canary, Config, Error, Mode};

use crate::support::{ordinary, upload};
use testkit::gpu::gpu;

#[test]
fn a_canary_tells_whether_its_submission_ran() {
    let gpu = gpu();
    let canary = Canary::new(&gpu).unwrap();
    let encode = |canary: &Canary| {
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        canary.encode(&mut encoder.begin_compute_pass(&Default::default()));
        encoder.finish()
    };
    // Recorded, and dropped on the way to the device.
    drop(encode(&canary));
    assert!(!canary.ran_blocking().unwrap());
    let finding = Finding::unexecuted();
    assert!(!finding.passed() && finding.tensor == "canary");
    let text = "the device did not execute a kernel of the same submission";
    assert_eq!(finding.to_string(), text);
    gpu.queue().submit([encode(&canary)]);
    assert!(canary.ran_blocking().unwrap());
    // Each has a pattern of its own: what another left is not taken for it.
    let other = Canary::new(&gpu).unwrap();
    assert!(!other.ran_blocking().unwrap());
    gpu.probe_blocking().unwrap();
    let error = Error::from(RunError::NothingRan).to_string();
    assert!(error.contains("executes nothing"), "{error}");
}

#[test]
fn a_checked_layer_takes_no_notice_of_what_is_right() {
    let gpu = gpu();
    let mut layer = BatchNorm::new(&gpu, 3, Config::pytorch()).unwrap();
    let x = upload(&gpu, &[6, 3, 7], &ordinary(&[6, 3, 7], 1));
    for mode in [Mode::Train, Mode::Eval] {
        let (_, report) = checked::forward_blocking(&mut layer, &x, mode).unwrap();
        // What surrounds a run stands in the report only where it is wrong.
        assert!(report.findings.iter().all(|f| !f.tensor.contains(' ')));
        assert!(report.passed() && report.findings.iter().all(|f| f.tensor != "canary"));
    }
}
