//! What other frameworks computed, and the truth in f64 beside it, through every implementation.
//!
//! Errors are over the scales of the accuracy contract, here taken from the truth, not from this
//! crate's reference.

mod functional;

use std::collections::BTreeMap;

use wgpu_batchnorm::check::{BACKWARD_BOUND, FORWARD_BOUND};
use wgpu_batchnorm::internals::plan::Tuning;
use wgpu_batchnorm::{Config, View, reference};

use crate::support::{wide, worst};
use testkit::case::Case;
use testkit::golden::Golden;
use testkit::gpu::{GpuEngine, gpu};
use testkit::layer::Layer;
use testkit::outcome::{Cpu, Engine, Outcome};

/// How far a framework may be from us.
const ORDINARY: f64 = 2e-6;
/// On data on which f32 frameworks lose most of their digits.
const ILL_CONDITIONED: f64 = 5e-2;

type Tensors = BTreeMap<&'static str, Vec<f64>>;

/// One file's scales, per channel.
struct Scales {
    view: View,
    of: BTreeMap<&'static str, Vec<f64>>,
}

impl Scales {
    fn new(golden: &Golden, case: &Case) -> Self {
        let truth: BTreeMap<_, _> = golden.results("truth").into_iter().collect();
        let view = case.view;
        let running = case.running.as_ref().unwrap();
        let through_batch = golden.text("op") == "train";
        let m = view.count() as f64;
        let mut of: BTreeMap<_, Vec<f64>> = BTreeMap::new();
        for c in 0..view.channels() {
            let at = |name: &str| truth.get(name).map_or(0.0, |values| values[c]);
            let mean = match through_batch {
                true => at("batch_mean"),
                false => f64::from(running.mean[c]),
            };
            let weight = f64::from(case.parameters().weight(c)).abs();
            let bias = f64::from(case.parameters().bias(c)).abs();
            let [mut x, mut y, mut dx, mut dweight, mut dbias] = [0.0f64; 5];
            for i in view.runs(c).flatten() {
                let xhat = ((f64::from(case.x[i]) - mean) * at("inv_std")).abs();
                let dy = f64::from(case.dy[i]).abs();
                let means = at("dbias").abs() / m + xhat * at("dweight").abs() / m;
                let term = dy + if through_batch { means } else { 0.0 };
                x = x.max(f64::from(case.x[i]).abs());
                y = y.max(xhat * weight + bias);
                dx = dx.max(weight * at("inv_std") * term);
                dweight += dy * xhat;
                dbias += dy;
            }
            for (name, scale) in [
                ("y", y),
                ("batch_mean", x),
                ("batch_var", at("batch_var")),
                ("inv_std", at("inv_std")),
                ("running_mean", x.max(running.mean[c].abs().into())),
                (
                    "running_var",
                    at("running_var").max(running.variance[c].into()),
                ),
                ("dx", dx),
                ("dweight", dweight),
                ("dbias", dbias),
            ] {
                of.entry(name).or_default().push(scale);
            }
        }
        Self { view, of }
    }

    fn worst(&self, name: &str, got: &[f64], expected: &[f64]) -> f64 {
        let scales = &self.of[name];
        let elementwise = got.len() == self.view.len() && matches!(name, "y" | "dx");
        worst(got, expected, |i| match elementwise {
            true => scales[self.view.channel_of(i)],
            false => scales[i],
        })
    }
}

/// Bounds on the distance from the truth, and from the framework.
fn bounds(name: &str, golden: &Golden) -> (f64, f64) {
    let truth = match name {
        "dx" | "dweight" | "dbias" => BACKWARD_BOUND,
        _ => FORWARD_BOUND,
    };
    match golden.ill_conditioned() {
        true => (truth, ILL_CONDITIONED),
        false => (truth, ORDINARY),
    }
}

fn goldens(ops: &[&str]) -> Vec<Golden> {
    let mut goldens = Golden::all();
    goldens.retain(|golden| ops.contains(&golden.text("op")));
    assert!(goldens.len() >= 3, "{ops:?}: {}", goldens.len());
    goldens
}

/// The results that a file is about.
fn results(golden: &Golden, outcome: &Outcome) -> Tensors {
    let frozen = outcome.frozen.as_ref().unwrap();
    let train = golden.text("op") == "train";
    let (y, gradients) = match train {
        true => (&outcome.y, &outcome.gradients),
        false => (&frozen.y, &frozen.gradients),
    };
    let mut results = Tensors::from([
        ("y", wide(y)),
        ("dx", wide(&gradients.dx)),
        ("dweight", wide(&gradients.dweight)),
        ("dbias", wide(&gradients.dbias)),
    ]);
    if train {
        let running = outcome.running.as_ref().unwrap();
        results.extend([
            ("batch_mean", wide(&outcome.saved.batch_mean)),
            ("batch_var", wide(&outcome.saved.batch_var)),
            ("inv_std", wide(&outcome.saved.inv_std)),
            ("running_mean", wide(&running.mean)),
            ("running_var", wide(&running.variance)),
        ]);
    }
    results
}

/// Every result that a file has, truth and framework's, against ours; what failed.
fn compare(golden: &Golden, results: &Tensors, scales: &Scales, failures: &mut Vec<String>) {
    for (kind, loose) in [("truth", false), ("out", true)] {
        for (name, expected) in golden.results(kind) {
            let frozen_inv_std = name == "inv_std" && golden.text("op") == "eval";
            if frozen_inv_std || name == "num_batches_tracked" {
                continue;
            }
            let got = &results[name.as_str()];
            let error = scales.worst(&name, got, &expected);
            let (tight, loosely) = bounds(&name, golden);
            let bound = if loose { loosely } else { tight };
            if error > bound {
                let golden = &golden.name;
                failures.push(format!(
                    "{golden}: {kind}.{name} {error:.1e}, not {bound:e}"
                ));
            }
        }
    }
}

fn drive(implementation: &dyn Engine) {
    let mut failures = Vec::new();
    for golden in goldens(&["train", "eval"]) {
        let case = golden.case();
        let results = results(&golden, &implementation.run(&case));
        compare(
            &golden,
            &results,
            &Scales::new(&golden, &case),
            &mut failures,
        );
    }
    let name = implementation.name();
    assert!(failures.is_empty(), "{name}:\n{}", failures.join("\n"));
}

#[test]
fn cpu_agrees() {
    drive(&Cpu);
}

#[test]
fn recording_layer_agrees() {
    // As GPUs cut it, on whatever adapter there is.
    drive(&GpuEngine::new(&gpu(), "gpu", Tuning::DISCRETE));
}

#[test]
fn layer_agrees() {
    drive(&Layer { gpu: gpu() });
}

/// The truth is in f64 throughout; the reference takes `eps` and momentum as f32, and may be off
/// by that rounding and no more.
#[test]
fn reference_is_the_truth() {
    for golden in goldens(&["train", "eval"]) {
        let case = golden.case();
        let results = reference_results(&golden, &case);
        let scales = Scales::new(&golden, &case);
        let eps = golden.number("eps");
        let momentum = golden.find("momentum").and_then(|m| m.parse::<f64>().ok());
        let momentum = momentum.map_or(0.0, |m| (m - f64::from(m as f32)).abs());
        let truth = golden.results("truth");
        let inv_stds = &truth.iter().find(|(name, _)| name == "inv_std").unwrap().1;
        let largest = inv_stds.iter().copied().fold(0.0, f64::max);
        let rounded = (eps - f64::from(eps as f32)).abs() * largest.powi(2);
        let bound = 1e-10 + 2.0 * rounded + 2.0 * momentum;
        assert!(bound < 5e-8, "{}: {bound:e}", golden.name);
        for (name, expected) in &truth {
            let error = scales.worst(name, &results[name.as_str()], expected);
            assert!(error <= bound, "{}: {name} {error:e}", golden.name);
        }
    }
}

fn reference_results(golden: &Golden, case: &Case) -> Tensors {
    let (view, eps, weight) = (&case.view, case.config.eps, case.weight.as_deref());
    let running = case.running.as_ref().unwrap();
    let mut results = Tensors::new();
    let (statistics, y, gradients);
    if golden.text("op") == "train" {
        (y, statistics) = reference::train_forward(view, &case.x, case.parameters(), eps).unwrap();
        gradients = reference::backward(view, &case.x, &case.dy, weight, eps).unwrap();
        let options = case.config.running.unwrap();
        let (after, _) =
            reference::update_running(running, &statistics, view.count(), options).unwrap();
        results.insert("batch_mean", statistics.mean.clone());
        results.insert("batch_var", statistics.variance.clone());
        results.insert("running_mean", after.mean);
        results.insert("running_var", after.variance);
    } else {
        statistics = reference::Moments::new(wide(&running.mean), wide(&running.variance)).unwrap();
        y = reference::normalize(view, &case.x, &statistics, case.parameters(), eps).unwrap();
        let dy = &case.dy;
        gradients =
            reference::backward_frozen(view, &case.x, dy, &statistics, weight, eps).unwrap();
    }
    results.extend([
        ("y", y),
        ("inv_std", statistics.inv_std(eps)),
        ("dx", gradients.dx),
        ("dweight", gradients.dweight),
        ("dbias", gradients.dbias),
    ]);
    results
}

#[test]
fn presets_have_the_frameworks_numbers() {
    let mut seen = 0;
    for golden in goldens(&["train", "eval"]) {
        let preset = match golden.find("preset") {
            Some("pytorch") => Config::pytorch(),
            Some("keras") => Config::keras(),
            Some("onnx") => Config::onnx(),
            _ => continue,
        };
        let config = golden.config();
        assert_eq!(preset.eps, config.eps, "{}", golden.name);
        if golden.text("op") == "train" {
            assert_eq!(preset.running, config.running, "{}", golden.name);
            seen += 1;
        }
    }
    assert!(seen >= 10, "{seen}");
}
