//! Files that `wgbn` wrote, against the truth in f64.

use std::collections::BTreeMap;

use safetensors::tensor::Dtype;
use wgpu_batchnorm::reference::{self, Moments};

use crate::tensors::Stored;
use testkit::case::Case;

pub const FORWARD_BOUND: f64 = 5e-7;
pub const BACKWARD_BOUND: f64 = 1e-6;

/// Tensors in f64, by name.
pub type Truth = BTreeMap<String, Vec<f64>>;

/// What the reference computes of a case, forward and backward.
pub fn of(case: &Case, train: bool) -> Truth {
    let (view, eps) = (&case.view, case.config.eps);
    let before = case.running.as_ref().unwrap();
    let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect();
    let frozen = Moments::new(wide(&before.mean), wide(&before.variance)).unwrap();
    let weight = case.weight.as_deref();
    let (x, dy) = (&case.x, &case.dy);
    let (used, gradients) = match train {
        true => {
            let gradients = reference::backward(view, x, dy, weight, eps).unwrap();
            (reference::moments(view, x).unwrap(), gradients)
        }
        false => {
            let gradients = reference::backward_frozen(view, x, dy, &frozen, weight, eps).unwrap();
            (frozen, gradients)
        }
    };
    let mut truth = vec![
        (
            "y",
            reference::normalize(view, x, &used, case.parameters(), eps).unwrap(),
        ),
        ("inv_std", used.inv_std(eps)),
        ("dx", gradients.dx),
        ("dweight", gradients.dweight),
        ("dbias", gradients.dbias),
    ];
    if train {
        let running = case.config.running.unwrap();
        let (after, _) = reference::update_running(before, &used, view.count(), running).unwrap();
        truth.extend([
            ("batch_mean", used.mean),
            ("batch_var", used.variance),
            ("running_mean", after.mean),
            ("running_var", after.variance),
        ]);
    }
    let named = truth
        .into_iter()
        .map(|(name, values)| (name.to_owned(), values));
    named.collect()
}

/// Every tensor's errors over the scales of the accuracy contract, taken from the truth. What is
/// stored in halves may be half a unit in the last place further off.
pub fn assert_near(case: &Case, train: bool, truth: &Truth, stored: &Stored) {
    let view = case.view;
    let running = case.running.as_ref().unwrap();
    let m = view.count() as f64;
    for (name, tensor) in &stored.0 {
        // Handed on as they were.
        if matches!(&**name, "weight" | "bias") {
            continue;
        }
        let (got, expected) = (tensor.wide(), &truth[name]);
        assert_eq!(got.len(), expected.len());
        let elementwise = matches!(&**name, "y" | "dx");
        for c in 0..view.channels() {
            let at = |name: &str| truth.get(name).map_or(0.0, |values| values[c]);
            let (old_mean, old_var) = (running.mean[c].into(), running.variance[c].into());
            let mean = if train { at("batch_mean") } else { old_mean };
            let weight = f64::from(case.parameters().weight(c)).abs();
            let elements = || view.runs(c).flatten();
            let xhat = |i: usize| ((f64::from(case.x[i]) - mean) * at("inv_std")).abs();
            let dy = |i: usize| f64::from(case.dy[i]).abs();
            let max = |f: &dyn Fn(usize) -> f64| elements().map(f).fold(0.0, f64::max);
            let largest = || max(&|i| f64::from(case.x[i]).abs());
            let means = |i| (at("dbias").abs() + xhat(i) * at("dweight").abs()) / m;
            let bias = f64::from(case.parameters().bias(c)).abs();
            let scale = match &**name {
                "y" => max(&|i| xhat(i) * weight + bias),
                "batch_mean" => largest(),
                "running_mean" => largest().max(f64::abs(old_mean)),
                "running_var" => at("running_var").max(old_var),
                "batch_var" | "inv_std" => at(name),
                "dx" => {
                    let batch = if train { 1.0 } else { 0.0 };
                    weight * at("inv_std") * max(&|i| dy(i) + batch * means(i))
                }
                "dweight" => elements().map(|i| dy(i) * xhat(i)).sum(),
                "dbias" => elements().map(dy).sum(),
                other => panic!("{other} has no scale"),
            };
            let bound = match name.starts_with('d') {
                true => BACKWARD_BOUND,
                false => FORWARD_BOUND,
            };
            let indices = match elementwise {
                true => elements().collect(),
                false => vec![c],
            };
            for i in indices {
                let error = (got[i] - expected[i]).abs() - half_ulp(tensor.dtype, expected[i]);
                let error = error / scale.max(1.2e-38);
                let name = format!("{}: {name}[{i}]", case.name);
                assert!(error <= bound, "{name} is {}, not {}", got[i], expected[i]);
            }
        }
    }
}

/// Half the distance between neighbours of f16 or bf16 at `value`.
fn half_ulp(dtype: Dtype, value: f64) -> f64 {
    let (digits, least) = match dtype {
        Dtype::F16 => (11, 2f64.powi(-14)),
        Dtype::BF16 => (8, 2f64.powi(-126)),
        _ => return 0.0,
    };
    let binade = 2f64.powi(value.abs().max(least).log2().floor() as i32);
    0.5 * binade * 2f64.powi(1 - digits)
}
