//! Results compared with the reference as they are made.

use wgpu_batchnorm::Error;
use wgpu_batchnorm::check::{BACKWARD_BOUND, FORWARD_BOUND, Report};
use wgpu_batchnorm::{BatchNorm, Check, Config, Gpu, Mode, NonFinite};

use crate::support::{bits, ordinary, read, upload};
use testkit::gpu::gpu;

const SHAPE: [usize; 3] = [6, 3, 7];

fn layer(gpu: &Gpu, check: Check) -> BatchNorm {
    let config = Config::pytorch().with_non_finite(NonFinite::Propagate);
    let mut layer = BatchNorm::new(gpu, 3, config).unwrap();
    layer.set_check(check);
    layer
}

fn assert_sound(report: &Report, tensors: &[&str]) {
    let names: Vec<_> = report.findings.iter().map(|f| f.tensor).collect();
    assert_eq!(names, tensors);
    for finding in &report.findings {
        assert!((0.0..=finding.bound).contains(&finding.error), "{finding}");
        let len = match finding.tensor {
            "y" | "dx" => SHAPE.iter().product(),
            _ => 3,
        };
        assert!(finding.index < len, "{finding}");
        assert!(
            (f64::from(finding.got) - finding.expected).abs() < 1e-5,
            "{finding}"
        );
        assert!(finding.passed());
    }
    assert!(report.passed() && report.worst().is_some());
    report.enforce().unwrap();
}

#[test]
fn a_report_says_what_was_compared() {
    let gpu = gpu();
    let mut layer = layer(&gpu, Check::Report);
    let x = upload(&gpu, &SHAPE, &ordinary(&SHAPE, 1));
    let dy = upload(&gpu, &SHAPE, &ordinary(&SHAPE, 2));
    let forward = layer.forward(&x, Mode::Train).unwrap();
    let running = ["running_mean", "running_var", "batches"];
    let batch = ["y", "batch_mean", "batch_var", "inv_std", "offset"];
    let report = forward.report.unwrap();
    assert_sound(&report, &[&batch[..], &running].concat());
    assert_eq!(report.findings[0].bound, FORWARD_BOUND);
    let gradients = layer.backward(&x, &dy, &forward.saved).unwrap();
    let report = gradients.report.unwrap();
    assert_sound(&report, &["dweight", "dbias", "dx"]);
    assert_eq!(report.findings[0].bound, BACKWARD_BOUND);
    let forward = layer.forward(&x, Mode::Eval).unwrap();
    assert_sound(&forward.report.unwrap(), &["y"]);

    layer.set_check(Check::Off);
    let forward = layer.forward(&x, Mode::Train).unwrap();
    assert!(forward.report.is_none());
    let gradients = layer.backward(&x, &dy, &forward.saved).unwrap();
    assert!(gradients.report.is_none());
}

/// Squares that f32 cannot sum though it holds their mean: the kernels say NaN, the reference has
/// a number.
fn beyond_the_kernels() -> Vec<f32> {
    let x = ordinary(&SHAPE, 3);
    x.iter().map(|v| v.signum() * 1.5e19).collect()
}

#[test]
fn an_enforced_check_that_fails_takes_the_step_back() {
    let gpu = gpu();
    let mut layer = layer(&gpu, Check::Enforce);
    let good = upload(&gpu, &SHAPE, &ordinary(&SHAPE, 1));
    layer.forward(&good, Mode::Train).unwrap();
    let before = layer.state_blocking().unwrap();
    let huge = upload(&gpu, &SHAPE, &beyond_the_kernels());
    let failed = layer.forward(&huge, Mode::Train);
    let Err(Error::Check(failed)) = failed else {
        panic!("{failed:?}");
    };
    assert!(!failed.worst.passed());
    let text = failed.to_string();
    assert!(
        text.contains(failed.worst.tensor) && text.contains("bound"),
        "{text}"
    );
    assert_eq!(layer.state_blocking().unwrap(), before);
    layer.forward(&good, Mode::Train).unwrap();
    assert_eq!(layer.num_batches_tracked(), 2);
}

#[test]
fn a_report_that_fails_is_handed_out() {
    let gpu = gpu();
    let mut layer = layer(&gpu, Check::Report);
    let huge = upload(&gpu, &SHAPE, &beyond_the_kernels());
    let report = layer.forward(&huge, Mode::Train).unwrap().report.unwrap();
    assert!(!report.passed() && report.enforce().is_err());
    let worst = report.worst().unwrap();
    assert!(worst.error > worst.bound && worst.got.is_nan() && worst.expected.is_finite());
    assert_eq!(layer.num_batches_tracked(), 1);
}

/// `Saved` goes with its own input alone, and a check finds out where it was given another.
#[test]
fn a_saved_with_another_input_is_found() {
    let gpu = gpu();
    let mut layer = layer(&gpu, Check::Enforce);
    let x = upload(&gpu, &SHAPE, &ordinary(&SHAPE, 4));
    let other = upload(&gpu, &SHAPE, &ordinary(&SHAPE, 5));
    let dy = upload(&gpu, &SHAPE, &ordinary(&SHAPE, 6));
    for check in [Check::Enforce, Check::Report] {
        layer.set_check(check);
        let saved = layer.forward(&x, Mode::Train).unwrap().saved;
        let result = layer.backward(&other, &dy, &saved);
        let worst = match (check, result) {
            (Check::Enforce, Err(Error::Check(failed))) => failed.worst,
            (Check::Report, Ok(gradients)) => {
                let report = gradients.report.unwrap();
                assert!(!report.passed());
                report.worst().unwrap().clone()
            }
            (_, other) => panic!("{other:?}"),
        };
        assert!(worst.error > 1e-3, "{worst}");
    }
}

#[test]
fn checks_do_not_change_results() {
    let gpu = gpu();
    let x = upload(&gpu, &SHAPE, &ordinary(&SHAPE, 7));
    let results = [Check::Off, Check::Report, Check::Enforce].map(|check| {
        let mut layer = layer(&gpu, check);
        let y = read(&layer.forward(&x, Mode::Train).unwrap().y);
        (bits(&y), layer.state_blocking().unwrap())
    });
    assert_eq!(results[0], results[1]);
    assert_eq!(results[0], results[2]);
}
