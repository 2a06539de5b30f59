//! TensorFlow's `moments` and `batch_normalization`.

use wgpu_batchnorm::check::FORWARD_BOUND;
use wgpu_batchnorm::checked;
use wgpu_batchnorm::functional::AffineStep;
use wgpu_batchnorm::{Parameters, View, cpu, reference};

use super::{bounds, goldens};
use crate::support::{read, upload, wide, worst};
use testkit::axes::{gather, groups};
use testkit::gpu::gpu;

#[test]
fn moments_agree() {
    let gpu = gpu();
    for golden in goldens(&["moments"]) {
        let shape = golden.shape("x");
        let axes = golden.text("axes").split(',');
        let axes: Vec<isize> = axes.map(|axis| axis.parse().unwrap()).collect();
        let keep_dims = golden.text("keep_dims") == "true";
        let x = golden.input("x").unwrap();
        let (gathered, view) = gather(&x, &groups(&shape, &axes));
        let exact = reference::moments(&view, &gathered).unwrap();
        let host = cpu::moments(&view, &gathered).unwrap();
        let tensor = upload(&gpu, &shape, &x);
        let (device, report) = checked::moments_blocking(&tensor, &axes, keep_dims).unwrap();
        report.enforce().unwrap();
        let mean_shape = golden.shape("truth.mean");
        assert_eq!(device.shape(), mean_shape, "{}", golden.name);
        let device = device.read_blocking().unwrap();

        let largest = |k: usize| {
            let values = view.runs(k).flat_map(|run| &gathered[run]);
            values.fold(0.0, |max: f64, v| max.max(v.abs().into()))
        };
        let variances = golden.wide("truth.variance").unwrap();
        let (tight, loose) = bounds("mean", &golden);
        for (name, mean, variance, tight) in [
            ("reference", exact.mean, exact.variance, 1e-10),
            ("cpu", host.mean(), host.variance(), tight),
            ("gpu", device.mean(), device.variance(), tight),
        ] {
            for (kind, bound) in [("truth", tight), ("out", loose)] {
                let find = |name| golden.wide(&format!("{kind}.{name}")).unwrap();
                let golden = &golden.name;
                let error = worst(&mean, &find("mean"), largest);
                assert!(error <= bound, "{golden}: {name} mean {error:e}");
                let error = worst(&variance, &find("variance"), |k| variances[k]);
                assert!(error <= bound, "{golden}: {name} variance {error:e}");
            }
        }
    }
}

#[test]
fn normalize_agrees() {
    let gpu = gpu();
    for golden in goldens(&["normalize"]) {
        let shape = golden.shape("x");
        let view = View::new(&shape, golden.text("axis").parse().unwrap()).unwrap();
        let eps = golden.number("eps") as f32;
        let x = golden.input("x").unwrap();
        let mean = golden.input("mean").unwrap();
        let variance = golden.input("variance").unwrap();
        let (scale, shift) = (golden.input("scale"), golden.input("offset"));
        let parameters = Parameters::default()
            .with_weight(scale.as_deref())
            .with_bias(shift.as_deref());

        let statistics = reference::Moments::new(wide(&mean), wide(&variance)).unwrap();
        let exact = reference::normalize(&view, &x, &statistics, parameters, eps).unwrap();

        let mut host = vec![f32::NAN; view.len()];
        let input = cpu::Input::new(view, &x, parameters, eps);
        cpu::inference(&input, cpu::Statistics::new(&mean, &variance), &mut host).unwrap();

        // NumPy aligns from the right: `[C, 1, 1]` is the second axis of four.
        let mut along = vec![view.channels()];
        if view.inner() > 1 {
            along.resize(shape.len() - 1, 1);
        }
        let spread = |values: &Vec<f32>| upload(&gpu, &along, values);
        let (mean, variance) = (spread(&mean), spread(&variance));
        let (scale, shift) = (scale.as_ref().map(spread), shift.as_ref().map(spread));
        let affine = AffineStep::default()
            .with_scale(scale.as_ref())
            .with_shift(shift.as_ref());
        let tensor = upload(&gpu, &shape, &x);
        let y = checked::normalize_blocking(&tensor, (&mean, &variance), affine, eps);
        let (y, report) = y.unwrap();
        report.enforce().unwrap();
        assert_eq!(y.shape(), shape);

        let largest = |c: usize| {
            let bias = f64::from(parameters.bias(c));
            let normal = |i: usize| (exact[i] - bias).abs();
            view.runs(c).flatten().map(normal).fold(0.0, f64::max) + bias.abs()
        };
        let scales: Vec<f64> = (0..view.channels()).map(largest).collect();
        let (_, loose) = bounds("y", &golden);
        for (name, y, tight) in [
            // The truth's `eps` is no f32.
            ("reference", exact.clone(), 1e-8),
            ("cpu", wide(&host), FORWARD_BOUND),
            ("gpu", wide(&read(&y)), FORWARD_BOUND),
        ] {
            for (kind, bound) in [("truth.y", tight), ("out.y", loose)] {
                let expected = golden.wide(kind).unwrap();
                let error = worst(&y, &expected, |i| scales[view.channel_of(i)]);
                assert!(error <= bound, "{}: {name} {kind} {error:e}", golden.name);
            }
        }
    }
}
