//! Sub-batches: the CPU path against calls of its own, the reference and the judge, and the judge before errors that were
//! planted.

use super::*;
use crate::check::{self, Report};
use crate::config::Activation;
use crate::error::{ConfigError, ShapeError};
use crate::stats::HostGradients;
use crate::sub_batches::SubBatches;
use crate::weights::Outside;

/// Inputs, and how many rows of the outer axis a sub-batch has.
#[derive(Clone)]
struct Case {
    view: View,
    rows: usize,
    x: Vec<f32>,
    dy: Vec<f32>,
    residual: Option<Vec<f32>>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    activation: Activation,
    update: RunningUpdate,
}

/// What all operations gave.
#[derive(Clone, Debug, PartialEq)]
struct Results {
    y: Vec<f32>,
    saved: SavedStatistics,
    running: RunningStatistics,
    dx: Vec<f32>,
    gradients: ParameterGradients,
    dresidual: Vec<f32>,
}

fn update(momentum: Momentum, variance: RunningVariance) -> RunningUpdate {
    RunningUpdate {
        momentum,
        variance,
        non_finite: NonFinite::Skip,
    }
}

fn before(view: &View) -> RunningStatistics {
    let mut running = RunningStatistics::new(view.channels()).unwrap();
    running.mean.fill(0.3);
    running
}

fn cut(view: &View, rows: usize) -> SubBatches {
    let (outer, channels, inner) = view.lengths();
    SubBatches::new(rows, &[outer, channels, inner], 1).unwrap()
}

impl Case {
    /// Each sub-batch with a mean and a deviation of its own.
    fn new(view: View, rows: usize, seed: u64) -> Self {
        let mut r = Random(seed);
        let mut x = r.take(view.len());
        let sub_batches = cut(&view, rows);
        for g in 0..sub_batches.count() {
            let (mean, deviation) = (3.0 * r.normal(), 1.5 + r.uniform());
            let own = &mut x[sub_batches.range(g)];
            own.iter_mut().for_each(|x| *x = mean + deviation * *x);
        }
        Self {
            view,
            rows,
            x,
            dy: r.take(view.len()).iter().map(|v| v + 0.25).collect(),
            residual: None,
            weight: r.take(view.channels()),
            bias: r.take(view.channels()),
            activation: Activation::None,
            update: update(Momentum::new(0.1), RunningVariance::Unbiased),
        }
    }

    fn behind(mut self, activation: Activation) -> Self {
        self.residual = Some(Random(77).take(self.view.len()));
        self.activation = activation;
        self
    }

    fn sub_batches(&self) -> SubBatches {
        cut(&self.view, self.rows)
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            weight: Some(&self.weight),
            bias: Some(&self.bias),
        }
    }

    fn plain(&self) -> Input<'_> {
        Input::new(self.view, &self.x, self.parameters(), EPS)
            .with_activation(self.activation)
            .with_residual(self.residual.as_deref())
    }

    fn input(&self) -> Input<'_> {
        self.plain().with_sub_batches(self.sub_batches())
    }

    /// The sub-batch `index` as a case of one.
    fn alone(&self, index: usize) -> Self {
        let (view, range) = (
            self.sub_batches().view(index),
            self.sub_batches().range(index),
        );
        Self {
            view,
            rows: view.outer(),
            x: self.x[range.clone()].to_vec(),
            dy: self.dy[range.clone()].to_vec(),
            residual: self.residual.as_ref().map(|r| r[range].to_vec()),
            ..self.clone()
        }
    }
}

fn run_all(case: &Case, input: &Input<'_>, before: RunningStatistics) -> Results {
    let len = case.view.len();
    let (mut y, mut dx, mut dresidual) = (vec![0.0; len], vec![0.0; len], vec![0.0; len]);
    let mut running = before;
    let moved = Running::new(&mut running, case.update);
    let saved = train_forward(input, Some(moved), &mut y).unwrap();
    let gradients = backward(input, &case.dy, &saved, Some(&mut dx)).unwrap();
    super::dresidual(input, &case.dy, &saved, &mut dresidual).unwrap();
    Results {
        y,
        saved,
        running,
        dx,
        gradients,
        dresidual,
    }
}

impl Case {
    fn results(&self) -> Results {
        run_all(self, &self.input(), before(&self.view))
    }
}

fn cases() -> Vec<Case> {
    vec![
        Case::new(view(7, 3, 5), 2, 1),
        Case::new(view(9, 4, 1), 2, 2)
            .behind(Activation::Relu)
            .keras(),
        Case::new(view(8, 2, 300), 4, 3).behind(Activation::Silu),
        Case::new(view(1000, 5, 1), 96, 4),
        Case::new(view(6, 1, 7), 1, 5).behind(Activation::GeluTanh),
    ]
}

impl Case {
    fn keras(mut self) -> Self {
        self.update.variance = RunningVariance::Biased;
        self
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn four_values_by_twos() {
    let (x, view) = ([0.0, 2.0, 10.0, 14.0], view(4, 1, 1));
    let input = Input::new(view, &x, Parameters::default(), EPS);
    let mut y = [0.0; 4];
    let sub_batches = cut(&view, 2);
    let input = input.with_sub_batches(sub_batches);
    let mut running = RunningStatistics::new(1).unwrap();
    let moved = Running::new(
        &mut running,
        update(Momentum::Cumulative, RunningVariance::Unbiased),
    );
    let saved = train_forward(&input, Some(moved), &mut y).unwrap();
    let (one, two) = (1.0 / 1.00001f64.sqrt(), 2.0 / 4.00001f64.sqrt());
    for (y, expected) in y.iter().zip([-one, one, -two, two]) {
        assert!((f64::from(*y) - expected).abs() < 1e-7, "{y}");
    }
    assert_eq!(saved.batch_mean, [1.0, 12.0]);
    assert_eq!(saved.batch_var, [1.0, 4.0]);
    assert_eq!((running.mean[0], running.variance[0]), (6.5, 5.0));
    assert_eq!(running.batches, [2]);
}

#[test]
fn each_sub_batch_has_the_bits_of_a_call_of_its_own() {
    for case in cases() {
        let (all, sub_batches) = (case.results(), case.sub_batches());
        let channels = case.view.channels();
        let mut sums = vec![[0.0; 2]; channels];
        for g in 0..sub_batches.count() {
            let alone = case.alone(g);
            let own = run_all(&alone, &alone.plain(), before(&case.view));
            let range = sub_batches.range(g);
            let row = g * channels..(g + 1) * channels;
            for (all, own) in [
                (&all.y[range.clone()], &own.y),
                (&all.dx[range.clone()], &own.dx),
                (&all.dresidual[range], &own.dresidual),
                (&all.saved.pivot[row.clone()], &own.saved.pivot),
                (&all.saved.offset[row.clone()], &own.saved.offset),
                (&all.saved.inv_std[row.clone()], &own.saved.inv_std),
                (&all.saved.batch_mean[row.clone()], &own.saved.batch_mean),
                (&all.saved.batch_var[row], &own.saved.batch_var),
            ] {
                assert_eq!(bits(all), bits(own));
            }
            for (c, [weight, bias]) in sums.iter_mut().enumerate() {
                *weight += f64::from(own.gradients.dweight[c]);
                *bias += f64::from(own.gradients.dbias[c]);
            }
        }
        for (c, [weight, bias]) in sums.into_iter().enumerate() {
            let near = |got: f32, sum: f64| (f64::from(got) - sum).abs() < 1e-4;
            assert!(near(all.gradients.dweight[c], weight));
            assert!(near(all.gradients.dbias[c], bias));
        }
        assert_eq!(
            all.running.batches,
            vec![sub_batches.count() as u32; channels]
        );
    }
}

#[test]
fn one_sub_batch_has_the_bits_of_none() {
    for case in cases() {
        let outer = case.view.outer();
        for rows in [outer, outer + 1, usize::MAX] {
            let case = Case {
                rows,
                ..case.clone()
            };
            let plain = run_all(&case, &case.plain(), before(&case.view));
            assert_eq!(case.results(), plain);
        }
    }
    // The sign of a zero, too.
    let (view, x) = (view(2, 1, 1), [1.0, 2.0]);
    let input = Input::new(view, &x, Parameters::default(), EPS).with_sub_batches(cut(&view, 2));
    let saved = train_forward(&input, None, &mut [0.0; 2]).unwrap();
    let gradients = backward(&input, &[-0.0, -0.0], &saved, None).unwrap();
    let plain = backward(&input.with_sub_batches(None), &[-0.0, -0.0], &saved, None).unwrap();
    assert_eq!(bits(&gradients.dbias), bits(&plain.dbias));
}

#[test]
fn an_empty_batch_stays_what_it_is() {
    let view = view(0, 3, 4);
    let input = Input::new(view, &[], Parameters::default(), EPS);
    let cut_input = input.with_sub_batches(cut(&view, 2));
    let mut running = before(&view);
    let how = update(Momentum::new(0.5), RunningVariance::Unbiased);
    let moved = Running::new(&mut running, how);
    let saved = train_forward(&cut_input, Some(moved), &mut []).unwrap();
    assert_eq!(running, before(&view));
    assert!(saved.batch_mean.len() == 3 && saved.batch_mean[0].is_nan());
    let gradients = backward(&cut_input, &[], &saved, Some(&mut [])).unwrap();
    assert_eq!(gradients.dweight, [0.0; 3]);
    dresidual(&cut_input, &[], &saved, &mut []).unwrap();
}

#[test]
fn what_does_not_fit_is_refused() {
    let (view, x) = (view(5, 2, 1), Random(1).take(10));
    let input = Input::new(view, &x, Parameters::default(), EPS);
    let mut y = [7.0; 10];
    // The fifth sample is alone.
    let alone = input.with_sub_batches(cut(&view, 2));
    let mut running = before(&view);
    let unbiased = update(Momentum::new(0.1), RunningVariance::Unbiased);
    let moved = Running::new(&mut running, unbiased);
    let (index, count, values) = (2, 3, 1);
    let error = ConfigError::SubBatch {
        index,
        count,
        values,
    };
    let refused = train_forward(&alone, Some(moved), &mut y).unwrap_err();
    assert!(matches!(refused, Error::Config(e) if e == error));
    assert!(error.to_string().contains("sub-batch 2 of 3"));
    assert_eq!((y, &running), ([7.0; 10], &before(&view)));
    let moved = Running::new(
        &mut running,
        update(Momentum::new(0.1), RunningVariance::Biased),
    );
    assert!(train_forward(&alone, Some(moved), &mut y).is_ok());

    let weights = Weights::new(&[1.0; 5], &[5, 1], &[5, 2], 1, Outside::Normalize).unwrap();
    let both = input.with_sub_batches(cut(&view, 3)).with_weights(weights);
    let saved = train_forward(&input, None, &mut y).unwrap();
    let dy = [1.0; 10];
    for refused in [
        train_forward(&both, None, &mut y).map(drop),
        backward(&both, &dy, &saved, None).map(drop),
        super::dresidual(&both, &dy, &saved, &mut y),
    ] {
        let said = refused.unwrap_err().to_string();
        assert_eq!(said, "sub-batches cannot be combined with weights");
    }
    // Those that do not look at sub-batches take them.
    inference(&both, &before(&view), &mut y).unwrap();
    backward_frozen(&both, &dy, &before(&view), None).unwrap();

    // Of another tensor, and statistics of other sub-batches.
    let other = input.with_sub_batches(cut(&self::view(5, 1, 2), 3));
    let refused = train_forward(&other, None, &mut y).unwrap_err();
    assert!(matches!(refused, Error::Shape(ShapeError::Mismatch { .. })));
    let refused = backward(&input.with_sub_batches(cut(&view, 3)), &dy, &saved, None);
    assert!(refused.unwrap_err().to_string().contains("saved pivot"));
}

#[test]
fn a_sub_batch_that_is_not_finite_leaves_the_others_their_bits() {
    let case = Case::new(view(6, 2, 3), 2, 6);
    let sub_batches = case.sub_batches();
    let sound = case.results();
    for bad in [f32::NAN, f32::INFINITY, 1e30] {
        let mut spoiled = case.clone();
        // Channel 1 of the second of three.
        spoiled.x[sub_batches.range(1).start + 4] = bad;
        let got = spoiled.results();
        for i in 0..case.view.len() {
            let hit = sub_batches.range(1).contains(&i) && case.view.channel_of(i) == 1;
            for (got, sound) in [(&got.y, &sound.y), (&got.dx, &sound.dx)] {
                assert_eq!(got[i].is_nan(), hit, "{bad}, {i}");
                assert!(hit || got[i].to_bits() == sound[i].to_bits(), "{bad}, {i}");
            }
        }
        assert!(got.gradients.dweight[1].is_nan());
        assert_eq!(got.gradients.dweight[0], sound.gradients.dweight[0]);
        assert_eq!(got.gradients.dbias, sound.gradients.dbias);
        assert_eq!(got.running.batches, [3, 2]);
        // As if the one had never come.
        let mut running = before(&case.view);
        for g in [0, 2] {
            let alone = case.alone(g);
            let moved = Running::new(&mut running, case.update);
            train_forward(&alone.plain(), Some(moved), &mut vec![0.0; alone.x.len()]).unwrap();
        }
        assert!((running.mean[1] - got.running.mean[1]).abs() < 1e-6);
        assert!((running.variance[1] - got.running.variance[1]).abs() < 1e-6);
        spoiled.update.non_finite = NonFinite::Propagate;
        assert!(spoiled.results().running.mean[1].is_nan());
    }
}

/// Neither statistics nor counts change by a bit where a channel skips all.
#[test]
fn statistics_of_a_channel_that_skips_all_stay() {
    let mut case = Case::new(view(6, 2, 3), 2, 6);
    let inner = case.view.runs(1).flatten().collect::<Vec<_>>();
    inner.into_iter().for_each(|i| case.x[i] = f32::NAN);
    let got = case.results().running;
    assert_eq!(
        (got.mean[1].to_bits(), got.variance[1]),
        (0.3f32.to_bits(), 1.0)
    );
    assert_eq!(got.batches, [3, 0]);
}

/// 1000 sub-batches of two samples.
fn thousand(momentum: Momentum) -> Case {
    let mut case = Case::new(view(2000, 3, 2), 2, 9);
    case.update.momentum = momentum;
    case
}

#[test]
fn a_thousand_sub_batches_move_running_statistics_in_f64() {
    for momentum in [Momentum::new(0.01), Momentum::Cumulative] {
        let case = thousand(momentum);
        let got = case.results().running;
        let (sub_batches, none) = (case.sub_batches(), Parameters::default());
        let (_, moments) =
            reference::sub_batched_train_forward(&sub_batches, &case.x, none, EPS).unwrap();
        let old = before(&case.view);
        let (expected, batches) =
            reference::sub_batched_update_running(&old, &moments, &sub_batches, case.update)
                .unwrap();
        assert_eq!(got.batches, batches);
        for c in 0..3 {
            let largest = case.view.runs(c).flatten().map(|i| case.x[i].abs());
            let largest = f64::from(largest.fold(0.0, f32::max));
            let off = (f64::from(got.mean[c]) - expected.mean[c]).abs() / largest;
            assert!(off < 1e-7, "{momentum:?}: {off:e}");
            let off = f64::from(got.variance[c]) / expected.variance[c] - 1.0;
            assert!(off.abs() < 1e-7, "{momentum:?}: {off:e}");
        }
    }
}

/// What the judge says of each operation.
fn judge(case: &Case, r: &Results) -> [(&'static str, Report); 3] {
    let epilogue = check::Epilogue::default()
        .with_activation(case.activation)
        .with_residual(case.residual.as_deref());
    let input = check::Input::new(case.view, &case.x, case.parameters(), EPS)
        .with_epilogue(epilogue)
        .with_sub_batches(case.sub_batches());
    let before = before(&case.view);
    let trained =
        check::TrainResult::new(&r.y, &r.saved).with_running((&before, &r.running, case.update));
    let ParameterGradients { dweight, dbias } = r.gradients.clone();
    let gradients = HostGradients::new(r.dx.clone(), dweight, dbias);
    let dy = &case.dy;
    [
        ("train", check::train_forward(&input, &trained)),
        ("backward", check::backward(&input, dy, &gradients, None)),
        (
            "dresidual",
            check::dresidual(&input, dy, None, &r.dresidual),
        ),
    ]
    .map(|(name, report)| (name, report.unwrap()))
}

fn judged_cases() -> Vec<Case> {
    let mut spoiled = Case::new(view(9, 3, 4), 2, 12).behind(Activation::Gelu);
    let range = spoiled.sub_batches().range(2);
    spoiled.x[range.start] = f32::NAN;
    spoiled.x[range.end - 1] = 1e25;
    let mut propagated = spoiled.clone();
    propagated.update.non_finite = NonFinite::Propagate;
    let mut cases = cases();
    cases.extend([spoiled, propagated]);
    cases.extend([Momentum::new(0.01), Momentum::Cumulative].map(thousand));
    cases
}

#[test]
fn the_judge_accepts_what_the_cpu_path_gives() {
    for (k, case) in judged_cases().into_iter().enumerate() {
        for (operation, report) in judge(&case, &case.results()) {
            assert!(report.passed(), "{k}, {operation}: {:?}", report.worst());
            assert!(report.findings.iter().all(|f| f.error >= 0.0));
        }
    }
}

/// The tensors that the judge refuses.
fn refused(case: &Case, results: &Results) -> Vec<&'static str> {
    let reports = judge(case, results).map(|(_, report)| report.findings);
    let failed = reports.into_iter().flatten().filter(|f| !f.passed());
    failed.map(|f| f.tensor).collect()
}

#[test]
fn the_judge_refuses_statistics_of_the_whole_batch() {
    let case = cases().remove(2);
    let whole = run_all(&case, &case.plain(), before(&case.view));
    let sound = case.results();
    let planted = |plant: &dyn Fn(&mut Results)| {
        let mut results = sound.clone();
        plant(&mut results);
        refused(&case, &results)
    };
    assert_eq!(planted(&|_| {}), [] as [&str; 0]);
    assert_eq!(planted(&|r| r.y = whole.y.clone()), ["y"]);
    assert_eq!(planted(&|r| r.dx = whole.dx.clone()), ["dx"]);
    assert_eq!(
        planted(&|r| r.dresidual = whole.dresidual.clone()),
        ["dresidual"]
    );
    assert_eq!(
        planted(&|r| r.gradients.dweight = whole.gradients.dweight.clone()),
        ["dweight"]
    );
    let twice = |row: &[f32]| [row, row].concat();
    assert_eq!(
        planted(&|r| r.saved.inv_std = twice(&whole.saved.inv_std)),
        ["inv_std"]
    );
    assert_eq!(
        planted(&|r| r.saved.batch_mean = twice(&whole.saved.batch_mean)),
        ["batch_mean"]
    );
    assert_eq!(
        planted(&|r| r.saved.batch_var = twice(&whole.saved.batch_var)),
        ["batch_var"]
    );
    assert_eq!(
        planted(&|r| r.saved.pivot = twice(&whole.saved.pivot)),
        ["offset"]
    );
    // One after the other by channels, and not by sub-batches.
    let turned = |row: &[f32]| vec![row[0], row[2], row[1], row[3]];
    assert_eq!(
        planted(&|r| r.saved.batch_var = turned(&r.saved.batch_var)),
        ["batch_var"]
    );
    let moved = planted(&|r| r.running = whole.running.clone());
    assert_eq!(moved, ["running_mean", "running_var", "batches"]);
}

#[test]
fn the_judge_refuses_sums_of_one_sub_batch() {
    for case in cases() {
        let sound = case.results();
        for g in [0, case.sub_batches().count() - 1] {
            let alone = case.alone(g);
            let mut own = alone.clone();
            own.update.variance = RunningVariance::Biased;
            let own = run_all(&own, &alone.plain(), before(&case.view)).gradients;
            let mut results = sound.clone();
            results.gradients.dweight = own.dweight;
            assert_eq!(refused(&case, &results), ["dweight"]);
            let mut results = sound.clone();
            results.gradients.dbias = own.dbias;
            assert_eq!(refused(&case, &results), ["dbias"]);
        }
    }
}

/// A scale is that of the sub-batch, beside others of values that are a million times as large; the place is the tensor's.
#[test]
fn the_judge_measures_a_sub_batch_by_its_own_scale() {
    let mut case = Case::new(view(6, 2, 5), 2, 13);
    let (sub_batches, last) = (cut(&case.view, 2), 50);
    for i in sub_batches.range(1) {
        case.x[i] *= 1e6;
        case.dy[i] *= 1e6;
    }
    let sound = case.results();
    assert_eq!(refused(&case, &sound), [] as [&str; 0]);
    for (tensor, plant) in [
        ("y", (|r, i| r.y[i] += 1e-4) as fn(&mut Results, usize)),
        ("dx", |r, i| r.dx[i] += 1e-4),
        ("dresidual", |r, i| r.dresidual[i] += 1e-4),
    ] {
        let mut results = sound.clone();
        plant(&mut results, last);
        let findings = judge(&case, &results).map(|(_, report)| report.findings);
        let failed: Vec<_> = findings.iter().flatten().filter(|f| !f.passed()).collect();
        assert_eq!(failed.len(), 1, "{tensor}");
        assert_eq!((failed[0].tensor, failed[0].index), (tensor, last));
    }
    // Channel 1 of the last.
    let mut results = sound.clone();
    results.saved.batch_mean[5] += 1e-4;
    let [(_, train), ..] = judge(&case, &results);
    let worst = train.worst().unwrap();
    assert_eq!((worst.tensor, worst.index), ("batch_mean", 5));
}

/// Running statistics as a path without care moves them: `step` gets old and new of a channel's sub-batch.
fn stepped(case: &Case, mut step: impl FnMut(&mut f32, Option<f64>)) -> RunningStatistics {
    let (sub_batches, none) = (case.sub_batches(), Parameters::default());
    let (_, moments) =
        reference::sub_batched_train_forward(&sub_batches, &case.x, none, EPS).unwrap();
    let mut running = case.results().running;
    let mut new = before(&case.view);
    for g in 0..sub_batches.count() {
        for c in 0..case.view.channels() {
            let (k, m) = (
                g * case.view.channels() + c,
                sub_batches.view(g).count() as f64,
            );
            let unbiased = moments.variance[k] * m / (m - 1.0);
            let finite = moments.mean[k].is_finite();
            step(&mut new.mean[c], finite.then_some(moments.mean[k]));
            step(&mut new.variance[c], finite.then_some(unbiased));
        }
    }
    (running.mean, running.variance) = (new.mean, new.variance);
    running
}

#[test]
fn the_judge_refuses_a_skipped_sub_batch_that_decays() {
    for factor in [0.1, 0.01] {
        let mut case = Case::new(view(8, 2, 3), 2, 14);
        case.update.momentum = Momentum::new(factor);
        let second = case.sub_batches().range(1);
        case.x[second.start] = f32::NAN;
        let step = |decays: bool| {
            move |old: &mut f32, new: Option<f64>| {
                let factor = f64::from(factor);
                let by = match new {
                    Some(new) => factor * new,
                    None if decays => 0.0,
                    None => return,
                };
                *old = ((1.0 - factor) * f64::from(*old) + by) as f32;
            }
        };
        let with = |running| Results {
            running,
            ..case.results()
        };
        let skips = with(stepped(&case, step(false)));
        assert_eq!(refused(&case, &skips), [] as [&str; 0]);
        let decays = with(stepped(&case, step(true)));
        assert_eq!(refused(&case, &decays), ["running_mean", "running_var"]);
        let mut counts = case.results();
        counts.running.batches[0] += 1;
        assert_eq!(refused(&case, &counts), ["batches"]);
    }
}

/// Each step rounded to f32 adds up, where momentum is small.
#[test]
fn the_judge_refuses_a_chain_of_rounded_steps() {
    let case = thousand(Momentum::new(0.01));
    let factor = 0.01f32;
    let chain = |old: &mut f32, new: Option<f64>| {
        let new = new.unwrap() as f32;
        *old = (1.0 - factor) * *old + factor * new;
    };
    let results = Results {
        running: stepped(&case, chain),
        ..case.results()
    };
    assert_eq!(refused(&case, &results), ["running_var"]);
}

/// A remainder has an unbiased variance by its own count.
#[test]
fn the_judge_refuses_the_count_of_a_full_sub_batch_for_a_remainder() {
    let case = Case::new(view(8, 2, 1), 6, 15);
    let mut results = case.results();
    let (sub_batches, update) = (case.sub_batches(), case.update);
    let (_, moments) =
        reference::sub_batched_train_forward(&sub_batches, &case.x, case.parameters(), EPS)
            .unwrap();
    assert_eq!(refused(&case, &results), [] as [&str; 0]);
    let Momentum::Exponential(factor) = update.momentum else {
        unreachable!()
    };
    for c in 0..2 {
        let off = f64::from(factor) * moments.variance[2 + c] * (6.0 / 5.0 - 2.0);
        results.running.variance[c] += off as f32;
    }
    assert_eq!(refused(&case, &results), ["running_var"]);
}

#[test]
fn the_judge_refuses_what_does_not_fit() {
    let case = Case::new(view(5, 2, 3), 2, 16);
    let results = case.results();
    let weights = Weights::new(&[1.0; 5], &[5, 1, 1], &[5, 2, 3], 1, Outside::Normalize).unwrap();
    let input = check::Input::new(case.view, &case.x, case.parameters(), EPS)
        .with_sub_batches(case.sub_batches());
    let gradients = HostGradients::new(vec![], vec![0.0; 2], vec![0.0; 2]);
    let trained = check::TrainResult::new(&results.y, &results.saved);
    let judged = |input: &check::Input<'_>| {
        [
            check::train_forward(input, &trained).map(drop),
            check::backward(input, &case.dy, &gradients, None).map(drop),
            check::dresidual(input, &case.dy, None, &case.dy).map(drop),
        ]
    };
    let refused = Err(ShapeError::WeightedSubBatches);
    for judged in judged(&input.with_weights(weights)) {
        assert_eq!(judged, refused);
    }
    for judged in judged(&input.with_sub_batches(cut(&view(5, 3, 2), 2))) {
        assert!(matches!(judged, Err(ShapeError::Mismatch { .. })));
    }
    let [one, ..] = judged(&input.with_sub_batches(None));
    let (tensor, got, expected) = ("saved pivot", 6, 2);
    assert_eq!(
        one,
        Err(ShapeError::Length {
            tensor,
            got,
            expected
        })
    );
    // Without dx, dweight and dbias are judged all the same.
    let ParameterGradients { dweight, dbias } = results.gradients;
    let sound = HostGradients::new(vec![], dweight, dbias);
    assert!(
        check::backward(&input, &case.dy, &sound, None)
            .unwrap()
            .passed()
    );
}

/// Sums beyond f32 in one sub-batch: dx says in which, and is judged in the others.
#[test]
fn sums_that_overflow_in_one_sub_batch_are_its_own() {
    let mut case = Case::new(view(6, 1, 4), 2, 17);
    for i in case.sub_batches().range(1) {
        case.dy[i] = 3e38;
    }
    let sound = case.results();
    assert_eq!(sound.gradients.dbias, [f32::INFINITY]);
    assert_eq!(refused(&case, &sound), [] as [&str; 0]);
    let mut results = sound.clone();
    results.dx[0] = f32::NAN;
    assert_eq!(refused(&case, &results), ["dx"]);
    let mut results = sound;
    results.dx[9] = 1.0;
    assert_eq!(refused(&case, &results), ["dx"]);
}
