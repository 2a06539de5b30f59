//! Values at the ends of f32, and the judge of them.

use testkit::gpu::gpu;
use wgpu_batchnorm::check::{self, TrainResult};
use wgpu_batchnorm::checked::{self, Checked};
use wgpu_batchnorm::functional::AffineStep;
use wgpu_batchnorm::{
    Activation, BatchNorm, Config, Gpu, Mode, NonFinite, Parameters, RunningStatistics, Tensor,
    View, cpu,
};

fn upload(gpu: &Gpu, shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::upload(gpu, shape, values).unwrap()
}

/// Weight 10⁻³⁰ and x of standard deviation 10¹⁰: inv_std·weight is subnormal. A sound layer passes its check.
#[test]
fn tiny_scale() {
    let gpu = gpu();
    let sign = |k: usize| if k.is_multiple_of(2) { 1.0 } else { -1.0 };
    let x: Vec<f32> = (0..24)
        .map(|k| sign(k / 2) * 1e10 * (1.0 + k as f32 / 24.0))
        .collect();
    let dy: Vec<f32> = (0..24).map(|k| (k % 5) as f32 - 2.0).collect();
    let shape = [12, 2];
    let (x, dy) = (upload(&gpu, &shape, &x), upload(&gpu, &shape, &dy));
    for activation in [Activation::None, Activation::Relu, Activation::Gelu] {
        for affine in [[1e-30, 1.0, 0.0, 0.0], [1e-39, -1e-32, 0.0, 1e-30]] {
            let config = Config::pytorch().with_activation(activation);
            let layer = BatchNorm::new(&gpu, 2, config).unwrap();
            layer.affine().write(&affine).unwrap();
            let mut layer = Checked::new(layer);
            for mode in [Mode::Train, Mode::Eval] {
                let forward = layer.forward_blocking(&x, mode).unwrap();
                layer.backward_blocking(&x, &dy, &forward.saved).unwrap();
            }
            layer.infer_blocking(&x).unwrap();
        }
    }
    let moments = wgpu_batchnorm::functional::moments(&x, &[0], false).unwrap();
    let scale = upload(&gpu, &[2], &[1e-30; 2]);
    let step = AffineStep::default().with_scale(&scale);
    let (_, report) = checked::normalize_blocking(&x, &moments, step, 1e-5).unwrap();
    report.enforce().unwrap();

    // What is wrong by more than the whole of it still fails, and so does a scale that f32 holds well.
    let judged = |weight: f32, y: f32| {
        let weight = [weight];
        let input = check::Input::new(
            View::new(&[2, 1], 1).unwrap(),
            &[1e10, -1e10],
            Parameters::default().with_weight(&weight[..]),
            1e-5,
        );
        check::inference(&input, &[0.0], &[1e20], &[y, -y])
            .unwrap()
            .passed()
    };
    assert!(judged(1e-30, 1e-30) && judged(1e-30, 0.0));
    assert!(!judged(1e-30, 2.1e-30) && !judged(1e-30, f32::NAN));
    assert!(judged(1e-27, 1e-27) && !judged(1e-27, 0.0) && !judged(1e-27, 1.00001e-27));
}

/// Finite values whose Σ(x−μ)² exceeds f32, though their variance does not: NaN and left out on the device, numbers on
/// the CPU path. The judge takes both for right, and nothing else.
#[test]
fn huge_spread() {
    let gpu = gpu();
    let shape = [40, 2];
    // Channel 1 is ordinary.
    let x: Vec<f32> = (0..40)
        .flat_map(|k| [[1.5e19, -1.5e19][k % 2], k as f32])
        .collect();
    let dy: Vec<f32> = (0..80).map(|k| (k % 7) as f32 - 3.0).collect();
    let view = View::new(&shape, 1).unwrap();
    for non_finite in [NonFinite::Skip, NonFinite::Propagate] {
        let config = Config::pytorch().with_non_finite(non_finite);
        let mut layer = Checked::new(BatchNorm::new(&gpu, 2, config).unwrap());
        let (x, dy) = (upload(&gpu, &shape, &x), upload(&gpu, &shape, &dy));
        let forward = layer.forward_blocking(&x, Mode::Train).unwrap();
        layer.backward_blocking(&x, &dy, &forward.saved).unwrap();
        let y = forward.y.read_blocking().unwrap();
        assert!(y.chunks(2).all(|y| y[0].is_nan() && y[1].is_finite()));
        let running = layer.layer().state_blocking().unwrap().running.unwrap();
        let skips = non_finite == NonFinite::Skip;
        assert_eq!(running.batches, [u32::from(!skips), 1]);
        assert_eq!(running.mean[0].is_nan(), !skips);
        let (moments, report) = checked::moments_blocking(&x, &[0], false).unwrap();
        report.enforce().unwrap();
        let variance = moments.read_blocking().unwrap().variance();
        assert!(variance[0].is_nan() && variance[1].is_finite());
    }
    // The CPU path's numbers, and neither half.
    let options = Config::pytorch().running.unwrap();
    let before = RunningStatistics::new(2).unwrap();
    let mut after = before.clone();
    let mut y = vec![0.0; 80];
    let p = Parameters::default();
    let input = cpu::Input::new(view, &x, p, 1e-5);
    let moved = Some(cpu::Running::new(&mut after, options));
    let saved = cpu::train_forward(&input, moved, &mut y).unwrap();
    assert!(y.iter().all(|y| y.is_finite()) && after.batches == [1, 1]);
    let input = check::Input::new(view, &x, p, 1e-5);
    let judged = |y: &[f32], saved| {
        let running = Some((&before, &after, options));
        check::train_forward(&input, &TrainResult::new(y, saved).with_running(running))
            .unwrap()
            .passed()
    };
    assert!(judged(&y, &saved));
    let mut half = y.clone();
    half[0] = f32::NAN;
    assert!(!judged(&half, &saved));
    let mut half = saved.clone();
    half.batch_var[0] = f32::NAN;
    assert!(!judged(&y, &half));
}

/// Frozen backward over x of ±3·10³⁸ with dy 1: partial sums of dz·x̂ overflow, or x holds NaN or infinity. `dbias` is Σdy all
/// the same, and `dweight` is what f32 makes of it.
#[test]
fn frozen_overflow() {
    let gpu = gpu();
    let (config, shape) = (Config::pytorch(), [4, 2]);
    let mut layer = Checked::new(BatchNorm::new(&gpu, 2, config).unwrap());
    let dy = upload(&gpu, &shape, &[1.0; 8]);
    for first in [
        [3e38, -3e38, 3e38, -3e38],
        [3e38, 3e38, -3e38, -3e38],
        [3e38; 4],
        [1.0, f32::NAN, 2.0, 3.0],
        [f32::INFINITY, 1.0, 2.0, 3.0],
    ] {
        // Channel 1 is ordinary.
        let x: Vec<f32> = (0..4).flat_map(|k| [first[k], k as f32 + 1.0]).collect();
        let x = upload(&gpu, &shape, &x);
        let saved = layer.forward_blocking(&x, Mode::Eval).unwrap().saved;
        let whole = layer.backward_blocking(&x, &dy, &saved).unwrap();
        let rows = wgpu_batchnorm::BackwardRequest::new(&saved).with_dx(false);
        let rows = layer.backward_blocking(&x, &dy, rows).unwrap();
        for gradients in [&whole, &rows] {
            assert_eq!(gradients.dbias_blocking().unwrap(), [4.0, 4.0], "{first:?}");
            let [lost, dweight] = gradients.dweight_blocking().unwrap()[..] else {
                panic!("two channels");
            };
            // Pairs that meet cancel; where two of one sign meet first, nothing is left of the sum.
            assert!(lost.is_nan() || lost == 0.0, "{first:?}: {lost}");
            // 10/√(1 + 1e-5)
            assert!((dweight - 9.99995).abs() < 1e-5, "{dweight}");
        }
        // The CPU path sums in f64.
        let view = View::new(&shape, 1).unwrap();
        let running = RunningStatistics::new(2).unwrap();
        let host = x.read_blocking().unwrap();
        let input = cpu::Input::new(view, &host, Parameters::default(), 1e-5);
        let sums = cpu::backward_frozen(&input, &[1.0; 8], &running, None).unwrap();
        assert_eq!(sums.dbias, [4.0, 4.0], "{first:?}");
        let dweight = sums.dweight;
        let exact = first.iter().sum::<f32>() == 0.0 || first[..2] == [3e38, 3e38];
        assert!(dweight[0].is_nan() || exact, "{first:?}: {dweight:?}");
    }
}
