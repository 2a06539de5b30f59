//! The harness can fail: a good outcome passes, and each way to spoil it is caught, by the tensor
//! that was spoilt.

use wgpu_batchnorm::check::{POISON, is_poison};
use wgpu_batchnorm::internals::plan::Tuning;
use wgpu_batchnorm::{Config, Element, NonFinite, View, reference};

use crate::buffers::{Buffers, run};
use testkit::case::Case;
use testkit::data::Kind;
use testkit::gpu::{GpuEngine, gpu, rows};
use testkit::outcome::{Engine, Outcome, Reference, judge};

/// Ordinary enough to pass, hard enough to miss.
const LARGE_MEAN: Kind = Kind::Normal {
    mean: 1e4,
    std: 1.0,
};

/// Both patterns.
fn cases() -> [Case; 2] {
    [(&[2, 4, 23, 29][..], 1), (&[46, 29, 4], -1)].map(|(shape, axis)| {
        let config = Config::pytorch().with_axis(axis);
        Case::new(shape, config, LARGE_MEAN, 7)
    })
}

/// Good outcomes, one per case.
struct Good([(Case, Outcome); 2]);

impl Good {
    fn new() -> Self {
        let gpu = gpu();
        let implementation = GpuEngine::new(&gpu, "cpu adapter", Tuning::CPU_ADAPTER);
        Self(cases().map(|case| {
            let outcome = implementation.run(&case);
            assert_eq!(beyond(&case, &outcome), [""; 0]);
            (case, outcome)
        }))
    }

    /// Asserts that what `spoil` does is caught by `tensor`, and by no other.
    fn caught(&self, what: &str, tensor: &str, spoil: impl Fn(&View, &mut Outcome)) {
        for (case, good) in &self.0 {
            let mut spoilt = good.clone();
            spoil(&case.view, &mut spoilt);
            assert!(spoilt != *good, "{what} changes nothing");
            assert_eq!(beyond(case, &spoilt), [tensor], "{what}: {}", case.name);
        }
    }
}

/// The tensors beyond their bounds.
fn beyond(case: &Case, outcome: &Outcome) -> Vec<&'static str> {
    let report = judge(case, outcome);
    assert_eq!(report.passed(), report.enforce().is_ok());
    let beyond = report.findings.iter().filter(|finding| !finding.passed());
    beyond.map(|finding| finding.tensor).collect()
}

/// One value by a little more than its bound, which is 1e-5 of these scales and more.
fn nudge(value: &mut f32) {
    *value += value.abs().max(1.0) * 1e-5;
}

#[test]
fn one_wrong_element() {
    let good = Good::new();
    good.caught("y", "y", |_, o| nudge(&mut o.y[1234]));
    good.caught("the first of y", "y", |_, o| nudge(&mut o.y[0]));
    good.caught("the last of y", "y", |_, o| nudge(o.y.last_mut().unwrap()));
    good.caught("dx", "dx", |_, o| nudge(&mut o.gradients.dx[1234]));
    good.caught("frozen y", "y", |_, o| {
        nudge(&mut o.frozen.as_mut().unwrap().y[1234]);
    });
    good.caught("frozen dx", "dx", |_, o| {
        nudge(&mut o.frozen.as_mut().unwrap().gradients.dx[1234]);
    });
}

#[test]
fn one_wrong_statistic() {
    let good = Good::new();
    good.caught("mean", "batch_mean", |_, o| {
        nudge(&mut o.saved.batch_mean[2])
    });
    good.caught("variance", "batch_var", |_, o| {
        nudge(&mut o.saved.batch_var[2])
    });
    good.caught("inv_std", "inv_std", |_, o| nudge(&mut o.saved.inv_std[2]));
    good.caught("pivot", "offset", |_, o| nudge(&mut o.saved.pivot[2]));
    good.caught("offset", "offset", |_, o| nudge(&mut o.saved.offset[2]));
    good.caught("dweight", "dweight", |_, o| o.gradients.dweight[1] += 0.1);
    good.caught("dbias", "dbias", |_, o| o.gradients.dbias[1] += 0.1);
    good.caught("frozen dweight", "dweight", |_, o| {
        o.frozen.as_mut().unwrap().gradients.dweight[3] += 0.1;
    });
    good.caught("frozen dbias", "dbias", |_, o| {
        o.frozen.as_mut().unwrap().gradients.dbias[3] += 0.1;
    });
    good.caught("running mean", "running_mean", |_, o| {
        nudge(&mut o.running.as_mut().unwrap().mean[2]);
    });
    good.caught("running variance", "running_var", |_, o| {
        nudge(&mut o.running.as_mut().unwrap().variance[2]);
    });
    good.caught("batches", "batches", |_, o| {
        o.running.as_mut().unwrap().batches[2] += 1;
    });
}

#[test]
fn swapped_channels() {
    let good = Good::new();
    let swap = |view: &View, values: &mut [f32]| {
        let indices = |c| view.runs(c).flatten();
        indices(0)
            .zip(indices(1))
            .for_each(|(a, b)| values.swap(a, b));
    };
    good.caught("y", "y", |view, o| swap(view, &mut o.y));
    good.caught("dx", "dx", |view, o| swap(view, &mut o.gradients.dx));
    good.caught("means", "batch_mean", |_, o| o.saved.batch_mean.swap(0, 1));
    good.caught("dweight", "dweight", |_, o| o.gradients.dweight.swap(0, 1));
    good.caught("running variance", "running_var", |_, o| {
        o.running.as_mut().unwrap().variance.swap(0, 1);
    });
}

#[test]
fn unwritten_outputs() {
    let good = Good::new();
    good.caught("an element of y", "y", |_, o| o.y[77] = f32::NAN);
    good.caught("all of y", "y", |_, o| o.y.fill(f32::NAN));
    good.caught("an element of dx", "dx", |_, o| {
        o.gradients.dx[77] = f32::NAN
    });
    good.caught("all of dx", "dx", |_, o| o.gradients.dx.fill(f32::NAN));
    good.caught("a mean", "batch_mean", |_, o| {
        o.saved.batch_mean[0] = f32::NAN
    });
    good.caught("dbias", "dbias", |_, o| o.gradients.dbias.fill(f32::NAN));
    good.caught("infinity", "y", |_, o| o.y[5] = f32::INFINITY);
}

#[test]
fn buffers_that_nothing_wrote() {
    // What the kernels have not written is poison, which does not pass; of halves both in each word are.
    let gpu = gpu();
    for (element, word) in [
        (Element::F32, 0x7fea_0000),
        (Element::F16, 0x7f50_7f50),
        (Element::Bf16, 0x7fea_7fea),
    ] {
        let config = Config::pytorch().with_element(element);
        let case = Case::new(&[2, 4, 3, 5], config, Kind::ALL[0], 7);
        let plan = gpu.context().plan(&case.config, &case.shape).unwrap();
        let b = Buffers::apart(&gpu, &plan, &case);
        for place in [&b.y, &b.dx] {
            assert!(place.bits().iter().all(|&v| v == word), "{element:?}");
        }
        for place in [&b.saved, &b.grads, &b.workspace] {
            assert!(place.read().into_iter().all(is_poison), "{element:?}");
        }
    }
}

#[test]
fn a_mean_without_its_offset() {
    // y about the mean rounded to one f32, all else exact: what most libraries compute.
    for (case, good) in Good::new().0 {
        let mut spoilt = good.clone();
        for c in 0..case.view.channels() {
            let (mean, inv_std) = (good.saved.batch_mean[c], good.saved.inv_std[c]);
            let (weight, bias) = (case.parameters().weight(c), case.parameters().bias(c));
            for i in case.view.runs(c).flatten() {
                spoilt.y[i] = (case.x[i] - mean) * inv_std * weight + bias;
            }
        }
        assert_eq!(beyond(&case, &spoilt), ["y"]);
    }
}

#[test]
fn backward_without_the_saved_offset() {
    let gpu = gpu();
    for case in cases() {
        let plan = gpu.context().plan(&case.config, &case.shape).unwrap();
        let b = Buffers::apart(&gpu, &plan, &case);
        let train = plan.bind_train(&b.train()).unwrap();
        let backward = plan.bind_backward(&b.backward()).unwrap();
        let implementation = GpuEngine::new(&gpu, "cpu adapter", Tuning::CPU_ADAPTER);
        let mut outcome = implementation.run(&case);
        let gradients = |outcome: &mut Outcome| {
            let [dweight, dbias] = rows(&b.grads.read());
            let gradients = &mut outcome.gradients;
            (gradients.dweight, gradients.dbias) = (dweight, dbias);
            gradients.dx = b.dx.read();
        };
        run(&gpu, &[&train, &backward]);
        gradients(&mut outcome);
        assert_eq!(beyond(&case, &outcome), [""; 0]);

        // The mean as one f32: the pivot takes it over, the offset is dropped.
        let c = case.view.channels();
        let mut saved = b.saved.read();
        saved.copy_within(3 * c..4 * c, 0);
        saved[c..2 * c].fill(0.0);
        b.saved.write(&saved);
        run(&gpu, &[&backward]);
        gradients(&mut outcome);
        assert_eq!(beyond(&case, &outcome), ["dweight", "dx"]);
    }
}

#[test]
fn channels_that_are_not_finite() {
    let gpu = gpu();
    let implementation = GpuEngine::new(&gpu, "cpu adapter", Tuning::CPU_ADAPTER);
    let [mut case, _] = cases();
    let c = 1;
    let hit = case.view.runs(c).next().unwrap().start;
    case.x[hit] = f32::NAN;
    let good = implementation.run(&case);
    assert_eq!(beyond(&case, &good), [""; 0]);
    // What was there before the run, which is a NaN too.
    let mut spoilt = good.clone();
    spoilt.y[hit + 1] = POISON;
    spoilt.saved.inv_std[c] = POISON;
    assert_eq!(beyond(&case, &spoilt), ["y", "inv_std"]);
    // A number where NaN belongs.
    let mut spoilt = good.clone();
    spoilt.y[hit + 1] = 0.0;
    assert_eq!(beyond(&case, &spoilt), ["y"]);
    let mut spoilt = good.clone();
    spoilt.gradients.dbias[c] = 0.0;
    assert_eq!(beyond(&case, &spoilt), ["dbias"]);
    // Statistics that took it, or counted it.
    let mut spoilt = good.clone();
    spoilt.running.as_mut().unwrap().mean[c] = f32::NAN;
    assert_eq!(beyond(&case, &spoilt), ["running_mean"]);
    let mut spoilt = good.clone();
    spoilt.running.as_mut().unwrap().batches[c] += 1;
    assert_eq!(beyond(&case, &spoilt), ["batches"]);
    // Judged by the other option, the same outcome is wrong.
    case.config = case.config.with_non_finite(NonFinite::Propagate);
    let wrong = ["running_mean", "running_var", "batches"];
    assert_eq!(beyond(&case, &good), wrong);
}

/// Per channel, the scales of the accuracy table, by name; written out once more, so that
/// the judge is not its own witness.
fn scales(case: &Case, c: usize) -> Vec<(&'static str, f64)> {
    let (x, dy) = (
        |i: usize| f64::from(case.x[i]),
        |i: usize| f64::from(case.dy[i]),
    );
    let (eps, parameters) = (case.config.eps, case.parameters());
    let (weight, bias) = (parameters.weight(c), parameters.bias(c));
    let (weight, bias) = (f64::from(weight).abs(), f64::from(bias).abs());
    let batch = reference::moments(&case.view, &case.x).unwrap();
    let g =
        reference::backward(&case.view, &case.x, &case.dy, case.weight.as_deref(), eps).unwrap();
    let before = case.running.as_ref().unwrap();
    let m = case.view.count() as f64;
    let inv_std = 1.0 / (batch.variance[c] + f64::from(eps)).sqrt();
    let xhat = |i| (x(i) - batch.mean[c]) * inv_std;
    let indices = || case.view.runs(c).flatten();
    let largest = |f: &dyn Fn(usize) -> f64| indices().map(f).fold(0.0, f64::max);
    let means = g.dbias[c].abs() / m;
    let dx = |i| dy(i).abs() + means + (xhat(i) * g.dweight[c]).abs() / m;
    let unbiased = batch.variance[c] * m / (m - 1.0);
    let running_var = 0.9 * f64::from(before.variance[c]) + 0.1 * unbiased;
    // The reference's own is the mean, rounded.
    let pivot = f64::from(batch.mean[c] as f32);
    let largest_x = largest(&|i| x(i).abs());
    vec![
        ("y", largest(&|i| (xhat(i) * weight).abs()) + bias),
        ("batch_mean", largest_x),
        ("offset", largest(&|i| (x(i) - pivot).abs())),
        ("batch_var", batch.variance[c]),
        ("inv_std", inv_std),
        (
            "running_mean",
            largest_x.max(f64::from(before.mean[c]).abs()),
        ),
        ("running_var", running_var.max(before.variance[c].into())),
        ("dweight", indices().map(|i| (dy(i) * xhat(i)).abs()).sum()),
        ("dbias", indices().map(|i| dy(i).abs()).sum()),
        ("dx", largest(&|i| weight * inv_std * dx(i))),
    ]
}

#[test]
fn the_judge_holds_results_to_the_contract_and_to_no_less() {
    for case in cases() {
        let (good, c) = (Reference.run(&case), 2);
        let first = case.view.runs(c).next().unwrap().start;
        for (tensor, scale) in scales(&case, c) {
            let bound = if tensor.starts_with('d') { 1e-6 } else { 5e-7 };
            // Rounding to f32 costs up to a tenth of the bound.
            for (share, expected) in [(0.85, vec![]), (1.15, vec![tensor])] {
                let mut spoilt = good.clone();
                let running = spoilt.running.as_mut().unwrap();
                let value = match tensor {
                    "y" => &mut spoilt.y[first],
                    "batch_mean" => &mut spoilt.saved.batch_mean[c],
                    "offset" => &mut spoilt.saved.offset[c],
                    "batch_var" => &mut spoilt.saved.batch_var[c],
                    "inv_std" => &mut spoilt.saved.inv_std[c],
                    "running_mean" => &mut running.mean[c],
                    "running_var" => &mut running.variance[c],
                    "dweight" => &mut spoilt.gradients.dweight[c],
                    "dbias" => &mut spoilt.gradients.dbias[c],
                    _ => &mut spoilt.gradients.dx[first],
                };
                *value = (f64::from(*value) + share * bound * scale) as f32;
                assert_eq!(
                    beyond(&case, &spoilt),
                    expected,
                    "{share} of {tensor}'s bound"
                );
            }
        }
    }
}
