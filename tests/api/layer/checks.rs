//! Results compared with the reference as they are made.

use wgpu_batchnorm::Error;
use wgpu_batchnorm::check::{BACKWARD_BOUND, FORWARD_BOUND, Report};
use wgpu_batchnorm::checked::{self, Checked};
use wgpu_batchnorm::{BatchNorm, Config, Gpu, Mode, NonFinite, View};

use crate::support::{bits, ordinary, read, upload};
use testkit::gpu::gpu;

const SHAPE: [usize; 3] = [6, 3, 7];

fn layer(gpu: &Gpu) -> BatchNorm {
    let config = Config::pytorch().with_non_finite(NonFinite::Propagate);
    BatchNorm::new(gpu, 3, config).unwrap()
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
    let mut layer = layer(&gpu);
    let x = upload(&gpu, &SHAPE, &ordinary(&SHAPE, 1));
    let dy = upload(&gpu, &SHAPE, &ordinary(&SHAPE, 2));
    let (forward, report) = checked::forward_blocking(&mut layer, &x, Mode::Train).unwrap();
    let running = ["running_mean", "running_var", "batches"];
    let batch = ["y", "batch_mean", "batch_var", "inv_std", "offset"];
    assert_sound(&report, &[&batch[..], &running].concat());
    assert_eq!(report.findings[0].bound, FORWARD_BOUND);
    let (_, report) = checked::backward_blocking(&layer, &x, &dy, &forward.saved).unwrap();
    assert_sound(&report, &["dweight", "dbias", "dx"]);
    assert_eq!(report.findings[0].bound, BACKWARD_BOUND);
    let (_, report) = checked::forward_blocking(&mut layer, &x, Mode::Eval).unwrap();
    assert_sound(&report, &["y"]);
    let (_, report) = checked::infer_blocking(&layer, &x).unwrap();
    assert_sound(&report, &["y"]);
}

/// A scale that f32 cannot hold: 1/√eps times this weight overflows. The kernels make NaN of a constant channel, whose y
/// is its bias.
fn beyond_f32(layer: &BatchNorm) {
    let affine = [3e38, 1.0, 1.0, 0.5, 0.0, 0.0];
    layer.affine().write(&affine).unwrap();
}

/// Ordinary values, but for channel 0, which is constant.
fn constant_channel() -> Vec<f32> {
    let mut x = ordinary(&SHAPE, 3);
    let view = View::new(&SHAPE, 1).unwrap();
    view.runs(0).for_each(|run| x[run].fill(2.0));
    x
}

#[test]
fn an_enforced_check_that_fails_takes_the_step_back() {
    let gpu = gpu();
    let mut layer = Checked::new(layer(&gpu));
    let good = upload(&gpu, &SHAPE, &ordinary(&SHAPE, 1));
    layer.forward_blocking(&good, Mode::Train).unwrap();
    beyond_f32(layer.layer());
    let before = layer.layer().state_blocking().unwrap();
    let constant = upload(&gpu, &SHAPE, &constant_channel());
    let failed = layer.forward_blocking(&constant, Mode::Train);
    let Err(Error::Check(failed)) = failed else {
        panic!("{failed:?}");
    };
    assert!(failed.error > failed.bound);
    let text = failed.to_string();
    assert!(
        text.contains(failed.tensor) && text.contains("bound"),
        "{text}"
    );
    assert_eq!(layer.layer().state_blocking().unwrap(), before);
    layer.layer().affine().write(&[1.0; 6]).unwrap();
    layer.forward_blocking(&good, Mode::Train).unwrap();
    assert_eq!(layer.layer().num_batches_tracked(), 2);
}

#[test]
fn a_report_that_fails_is_handed_out() {
    let gpu = gpu();
    let mut layer = layer(&gpu);
    beyond_f32(&layer);
    let constant = upload(&gpu, &SHAPE, &constant_channel());
    let (_, report) = checked::forward_blocking(&mut layer, &constant, Mode::Train).unwrap();
    assert!(!report.passed() && report.enforce().is_err());
    let worst = report.worst().unwrap();
    assert!(worst.error > worst.bound && worst.got.is_nan() && worst.expected.is_finite());
    assert_eq!(layer.num_batches_tracked(), 1);
}

/// `Saved` goes with its own input alone, and a check finds out where it was given another.
#[test]
fn a_saved_with_another_input_is_found() {
    let gpu = gpu();
    let mut layer = Checked::new(layer(&gpu));
    let x = upload(&gpu, &SHAPE, &ordinary(&SHAPE, 4));
    let other = upload(&gpu, &SHAPE, &ordinary(&SHAPE, 5));
    let dy = upload(&gpu, &SHAPE, &ordinary(&SHAPE, 6));
    let saved = layer.forward_blocking(&x, Mode::Train).unwrap().saved;
    let refused = layer.backward_blocking(&other, &dy, &saved);
    let Err(Error::Check(failed)) = refused else {
        panic!("{refused:?}");
    };
    assert!(failed.error > 1e-3, "{failed}");
    let (_, report) = checked::backward_blocking(layer.layer(), &other, &dy, &saved).unwrap();
    let worst = report.worst().unwrap();
    assert_eq!(
        (worst.tensor, worst.index, worst.error),
        (failed.tensor, failed.index, failed.error)
    );
}

#[test]
fn checks_do_not_change_results() {
    let gpu = gpu();
    let x = upload(&gpu, &SHAPE, &ordinary(&SHAPE, 7));
    let mut alone = layer(&gpu);
    let y = alone.forward(&x, Mode::Train).unwrap().y;
    let mut reported = layer(&gpu);
    let (forward, _) = checked::forward_blocking(&mut reported, &x, Mode::Train).unwrap();
    let mut enforced = Checked::new(layer(&gpu));
    let enforced_y = enforced.forward_blocking(&x, Mode::Train).unwrap().y;
    let expected = (bits(&read(&y)), alone.state_blocking().unwrap());
    for (y, layer) in [(&forward.y, &reported), (&enforced_y, enforced.layer())] {
        assert_eq!((bits(&read(y)), layer.state_blocking().unwrap()), expected);
    }
}
