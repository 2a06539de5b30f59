//! Weighted values: the CPU path before the judge, and the judge before errors that were planted.

use super::*;
use crate::check::{self, Report};
use crate::config::Activation;
use crate::error::ConfigError;
use crate::stats::HostGradients;

const MODES: [Outside; 2] = [Outside::Normalize, Outside::Zero];

/// Inputs, and the weights of a channel's values in the order of the view.
#[derive(Clone)]
struct Case {
    view: View,
    x: Vec<f32>,
    dy: Vec<f32>,
    residual: Option<Vec<f32>>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    activation: Activation,
    weights: Vec<f32>,
    outside: Outside,
    variance: RunningVariance,
}

/// What all operations gave.
#[derive(Clone)]
struct Results {
    y: Vec<f32>,
    saved: SavedStatistics,
    running: RunningStatistics,
    gradients: HostGradients,
    dresidual: Vec<f32>,
    inferred: Vec<f32>,
    frozen: HostGradients,
    dresidual_frozen: Vec<f32>,
    moments: Moments,
}

fn before(view: &View) -> RunningStatistics {
    let mut running = RunningStatistics::new(view.channels()).unwrap();
    running.mean.fill(0.3);
    running
}

impl Case {
    /// Values about `mean` with a deviation of 1.
    fn new(view: View, seed: u64, mean: f32, weights: impl Fn(&mut Random, usize) -> f32) -> Self {
        let mut r = Random(seed);
        Self {
            view,
            x: fill(&view, |_, _| mean + r.normal()),
            dy: r.take(view.len()).iter().map(|v| v + 0.25).collect(),
            residual: None,
            weight: r.take(view.channels()),
            bias: r.take(view.channels()),
            activation: Activation::None,
            weights: (0..view.count()).map(|k| weights(&mut r, k)).collect(),
            outside: Outside::Zero,
            variance: RunningVariance::Unbiased,
        }
    }

    fn behind(mut self, activation: Activation) -> Self {
        self.residual = Some(Random(77).take(self.view.len()));
        self.activation = activation;
        self
    }

    fn within(mut self, outside: Outside) -> Self {
        self.outside = outside;
        self
    }

    /// NaN and infinity where the weight is 0, in all that may not be looked at there.
    fn spoiled(mut self) -> Self {
        let (weights, outside) = (self.weights.clone(), self.outside);
        for (k, i) in self.placed() {
            if weights[k] == 0.0 {
                self.x[i] = [f32::NAN, f32::INFINITY, 1e30][k % 3];
                if outside == Outside::Zero {
                    self.dy[i] = f32::NAN;
                    self.residual.iter_mut().for_each(|r| r[i] = f32::NAN);
                }
            }
        }
        self
    }

    /// Each value's place among its channel's, and in the tensor.
    fn placed(&self) -> Vec<(usize, usize)> {
        let channels = (0..self.view.channels()).map(|c| self.view.runs(c).flatten());
        channels.flat_map(Iterator::enumerate).collect()
    }

    fn weights(&self) -> Weights<'_> {
        let (outer, channels, inner) = self.view.lengths();
        let (shape, x) = ([outer, 1, inner], [outer, channels, inner]);
        Weights::new(&self.weights, &shape, &x, 1, self.outside).unwrap()
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            weight: Some(&self.weight),
            bias: Some(&self.bias),
        }
    }

    fn input(&self) -> Input<'_> {
        Input::new(self.view, &self.x, self.parameters(), EPS)
            .with_activation(self.activation)
            .with_residual(self.residual.as_deref())
            .with_weights(self.weights())
    }

    fn update(&self) -> RunningUpdate {
        RunningUpdate {
            momentum: Momentum::new(0.1),
            variance: self.variance,
            non_finite: NonFinite::Skip,
        }
    }

    fn run(&self) -> Results {
        let (input, len) = (self.input(), self.view.len());
        let [mut y, mut dx, mut dresidual] = [0; 3].map(|_| vec![f32::NAN; len]);
        let mut running = before(&self.view);
        let moved = Some(Running::new(&mut running, self.update()));
        let saved = train_forward(&input, moved, &mut y).unwrap();
        let host = |g: ParameterGradients, dx: &[f32]| HostGradients {
            dweight: g.dweight,
            dbias: g.dbias,
            dx: dx.to_vec(),
        };
        let g = backward(&input, &self.dy, &saved, Some(&mut dx)).unwrap();
        let gradients = host(g, &dx);
        super::dresidual(&input, &self.dy, &saved, &mut dresidual).unwrap();
        let mut inferred = vec![f32::NAN; len];
        let old = before(&self.view);
        inference(&input, &old, &mut inferred).unwrap();
        let g = backward_frozen(&input, &self.dy, &old, Some(&mut dx)).unwrap();
        let mut dresidual_frozen = vec![f32::NAN; len];
        super::dresidual_frozen(&input, &self.dy, &old, &mut dresidual_frozen).unwrap();
        Results {
            y,
            saved,
            running,
            gradients,
            dresidual,
            inferred,
            frozen: host(g, &dx),
            dresidual_frozen,
            moments: weighted_moments(&self.view, &self.x, &self.weights()).unwrap(),
        }
    }

    fn judge(&self, r: &Results) -> Vec<(&'static str, Report)> {
        let epilogue = check::Epilogue::default()
            .with_activation(self.activation)
            .with_residual(self.residual.as_deref());
        let input = check::Input::new(self.view, &self.x, self.parameters(), EPS)
            .with_epilogue(epilogue)
            .with_weights(self.weights());
        let old = before(&self.view);
        let (mean, variance) = (&old.mean[..], &old.variance[..]);
        let (dy, weights) = (&self.dy[..], self.weights());
        let trained =
            check::TrainResult::new(&r.y, &r.saved).with_running((&old, &r.running, self.update()));
        let narrow = |v: Vec<f64>| v.into_iter().map(|v| v as f32).collect::<Vec<_>>();
        let (m, v) = (narrow(r.moments.mean()), narrow(r.moments.variance()));
        let given = Some((mean, variance));
        let reports = [
            ("train", check::train_forward(&input, &trained)),
            ("backward", check::backward(&input, dy, &r.gradients, None)),
            (
                "dresidual",
                check::dresidual(&input, dy, None, &r.dresidual),
            ),
            (
                "inference",
                check::inference(&input, mean, variance, &r.inferred),
            ),
            (
                "frozen",
                check::backward_frozen(&input, dy, mean, variance, &r.frozen, None),
            ),
            (
                "dresidual, frozen",
                check::dresidual(&input, dy, given, &r.dresidual_frozen),
            ),
            (
                "moments",
                check::weighted_moments(&self.view, &self.x, &weights, &m, &v),
            ),
        ];
        reports.map(|(what, report)| (what, report.unwrap())).into()
    }

    fn accept(&self, name: &str) {
        for (what, report) in self.judge(&self.run()) {
            let (view, outside, activation) = (self.view, self.outside, self.activation);
            let worst = report.worst().unwrap();
            assert!(
                report.passed(),
                "{name}, {what}, {view:?}, {outside:?}, {activation:?}: {worst}"
            );
        }
    }

    /// The operations whose results are refused once they are spoiled.
    #[track_caller]
    fn refuse(&self, refused: &[&str], spoil: impl FnOnce(&mut Results)) {
        let mut results = self.run();
        spoil(&mut results);
        let failed = self.judge(&results).into_iter();
        let failed = failed.filter(|(_, report)| !report.passed());
        assert_eq!(failed.map(|(what, _)| what).collect::<Vec<_>>(), refused);
    }
}

fn some_views() -> [View; 7] {
    [
        view(4, 5, 33),
        view(3, 2, 2_001),
        view(1, 1, 9_000),
        view(3, 30, 9),
        view(64, 129, 1),
        view(901, 3, 1),
        view(177, 5, 2),
    ]
}

#[test]
fn weighted_values_are_within_the_bounds() {
    type Weigh = fn(&mut Random, usize) -> f32;
    let cases: [(&str, f32, Weigh); 7] = [
        ("fractions", 0.0, |r, _| r.uniform() + 1.0),
        ("fractions far from 0", 1e6, |r, _| 2.0 * r.uniform() + 2.5),
        ("a mask", 3.0, |r, _| (r.uniform() + 1.0).floor()),
        ("a few", 1e6, |r, k| {
            let first = if k < 5 { -1.0 } else { r.uniform() };
            if first > 0.94 { 0.5 + first } else { 0.0 }
        }),
        ("one", 5.0, |_, k| if k == 17 { 1.0 } else { 0.0 }),
        ("of very different sizes", 1e3, |r, k| {
            [1e-30, 1e-3, 1.0, 1e20, 0.0][k % 5] * (r.uniform() + 1.5)
        }),
        ("none", 1.0, |_, _| 0.0),
    ];
    for ((name, mean, weigh), view) in cases.into_iter().flat_map(|c| some_views().map(|v| (c, v)))
    {
        for outside in MODES {
            let case = Case::new(view, 9, mean, weigh).within(outside);
            for activation in [Activation::None, Activation::Relu, Activation::Silu] {
                let case = match activation {
                    Activation::None => case.clone(),
                    _ => case.clone().behind(activation),
                };
                case.accept(name);
                case.spoiled().accept(name);
            }
        }
    }
}

/// As a pivot it would leave f64 nothing of the others.
#[test]
fn a_value_that_hardly_counts_is_no_pivot() {
    for view in some_views() {
        let weigh = |r: &mut Random, k| if k == 0 { 1e-30 } else { r.uniform() + 1.5 };
        let mut case = Case::new(view, 12, 0.0, weigh);
        for (k, i) in case.placed() {
            if k == 0 {
                case.x[i] = 1e20;
            }
        }
        case.accept("hardly counts");
    }
}

#[test]
fn a_value_that_counts_spoils_its_channel_and_no_padding() {
    for outside in MODES {
        let mut case = Case::new(view(4, 3, 20), 4, 0.0, |_, k| (k % 3) as f32).within(outside);
        let sound = case.run();
        case.x[1] = f32::INFINITY;
        case.accept("infinity");
        let results = case.run();
        let hidden = |i: usize| case.weights().is_padding(i);
        for i in case.view.runs(0).flatten() {
            let got = [results.y[i], results.gradients.dx[i]];
            assert!(got.iter().all(|v| v.is_nan() != hidden(i)), "{i}: {got:?}");
        }
        for i in case.view.runs(1).flatten() {
            assert_eq!(results.y[i].to_bits(), sound.y[i].to_bits());
        }
        assert_eq!(results.running.batches, [0, 1, 1]);
    }
}

#[test]
fn weights_of_one_change_no_bit() {
    for view in some_views() {
        let case = Case::new(view, 5, 10.0, |_, _| 1.0).behind(Activation::Gelu);
        let results = case.run();
        let input = case.input().with_weights(None);
        let mut y = vec![0.0; view.len()];
        let mut running = before(&view);
        let moved = Some(Running::new(&mut running, case.update()));
        let saved = train_forward(&input, moved, &mut y).unwrap();
        assert_eq!((&y, &saved), (&results.y, &results.saved));
        assert_eq!(running, results.running);
        let mut dx = y.clone();
        let g = backward(&input, &case.dy, &saved, Some(&mut dx)).unwrap();
        assert_eq!(
            (dx, g.dweight),
            (results.gradients.dx, results.gradients.dweight)
        );
        assert_eq!(moments(&view, &case.x).unwrap(), results.moments);
    }
}

#[test]
fn weighted_results_do_not_depend_on_threads() {
    for view in [view(3, 2, 20_001), view(9_001, 3, 1)] {
        let case = Case::new(view, 6, 1e3, |r, _| (r.uniform() * 4.0).max(0.0));
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build().unwrap().install(|| case.run())
        };
        let (one, four) = (on(1), on(4));
        assert_eq!((one.y, one.saved), (four.y, four.saved));
        assert_eq!(one.gradients.dx, four.gradients.dx);
        assert_eq!(one.gradients.dweight, four.gradients.dweight);
    }
}

#[test]
fn weights_that_are_none_are_refused() {
    for bad in [-1.0, f32::NAN, f32::INFINITY] {
        let case = Case::new(view(2, 3, 4), 7, 0.0, |_, k| if k == 5 { bad } else { 1.0 });
        let (input, old, mut y) = (case.input(), before(&case.view), vec![7.0; 24]);
        let saved = SavedStatistics::from_rows(&[1.0; 15]).unwrap();
        let dy = &case.dy;
        let refusals = [
            train_forward(&input, None, &mut y).map(|_| ()),
            inference(&input, &old, &mut y),
            backward(&input, dy, &saved, Some(&mut y)).map(|_| ()),
            backward_frozen(&input, dy, &old, Some(&mut y)).map(|_| ()),
            dresidual(&input, dy, &saved, &mut y),
            dresidual_frozen(&input, dy, &old, &mut y),
            weighted_moments(&case.view, &case.x, &case.weights()).map(|_| ()),
        ];
        for refusal in refusals {
            let text = refusal.unwrap_err().to_string();
            let expected = ConfigError::Weight { index: 5, got: bad };
            assert!(text.contains(&expected.to_string()), "{text}");
        }
        assert_eq!(y, [7.0; 24]);
    }
    // Of a tensor of another length.
    let (case, other) = [4, 5]
        .map(|inner| Case::new(view(2, 3, inner), 8, 0.0, |_, _| 1.0))
        .into();
    let input = case.input().with_weights(other.weights());
    assert!(train_forward(&input, None, &mut [0.0; 24]).is_err());
}

#[test]
fn moments_of_weights_count_what_they_sum_to() {
    let view = view(2, 1, 1);
    let weights = Weights::new(&[1.0, 2.0], &[2, 1], &[2, 1], 1, Outside::Normalize).unwrap();
    let moments = weighted_moments(&view, &[0.0, 1.0], &weights).unwrap();
    assert_eq!(moments.count(), 3.0);
    assert!((moments.mean()[0] - 2.0 / 3.0).abs() < 1e-9);
    assert!((moments.variance()[0] - 2.0 / 9.0).abs() < 1e-8);
    let nothing = Weights::new(&[0.0, 0.0], &[2, 1], &[2, 1], 1, Outside::Normalize).unwrap();
    let nothing = weighted_moments(&view, &[f32::NAN, 1.0], &nothing).unwrap();
    assert_eq!((nothing.count(), nothing.m2()), (0.0, &[0.0][..]));
}

/// A third of the values is padding, the others have fractions.
fn padded(view: View) -> Case {
    Case::new(view, 10, 2.0, |r, k| match k % 3 {
        2 => 0.0,
        _ => r.uniform() + 1.5,
    })
}

/// What `case` makes of it with other weights or another meaning of 0, with padding cleared.
fn otherwise(case: &Case, change: impl FnOnce(&mut Case)) -> Results {
    let mut other = case.clone();
    change(&mut other);
    let mut r = other.run();
    let of = [
        &mut r.y,
        &mut r.dresidual,
        &mut r.inferred,
        &mut r.dresidual_frozen,
        &mut r.gradients.dx,
        &mut r.frozen.dx,
    ];
    of.into_iter()
        .for_each(|out| crate::cpu::weighted::clear(&case.input(), out));
    r
}

#[test]
fn the_judge_sees_what_counts_wrongly() {
    for view in [view(4, 3, 30), view(60, 3, 1)] {
        let case = padded(view);
        case.refuse(&[], |_| {});
        // Padding in the sums.
        let wrong = otherwise(&case, |c| c.outside = Outside::Normalize);
        case.refuse(&["backward", "frozen"], |r| *r = wrong.clone());
        case.refuse(&["backward"], |r| r.gradients.dx = wrong.gradients.dx);
        // Padding in the statistics.
        let wrong = otherwise(&case, |c| {
            c.weights.iter_mut().for_each(|w| *w = w.max(1e-3))
        });
        case.refuse(&["train", "moments"], |r| {
            (r.y, r.saved, r.moments) = (wrong.y, wrong.saved, wrong.moments);
        });
        // W of another size is seen by the unbiased variance alone.
        let wrong = otherwise(&case, |c| c.weights.iter_mut().for_each(|w| *w *= 2.0));
        case.refuse(&[], |r| r.gradients = wrong.gradients.clone());
        case.refuse(&["train"], |r| r.running = wrong.running.clone());
        case.refuse(&["moments"], |r| {
            let rows = r.moments.to_rows();
            r.moments = Moments::from_rows(case.view.count() as f64, &rows).unwrap();
        });
        // The wrong part of the sums in dx: of m for W, and of 1 for w.
        let (m, total) = (case.view.count() as f64, case.weights().sum());
        for part in [&|_: f64| total / m, &|w: f64| 1.0 / w] as [&dyn Fn(f64) -> f64; 2] {
            case.refuse(&["backward"], |r| {
                for (k, i) in case.placed() {
                    let (c, w) = (view.channel_of(i), f64::from(case.weights[k]));
                    let scale = f64::from(case.weight[c]) * f64::from(r.saved.inv_std[c]);
                    let own = f64::from(case.dy[i]) * scale;
                    if w > 0.0 {
                        let dx = f64::from(r.gradients.dx[i]);
                        r.gradients.dx[i] = (own + (dx - own) * part(w)) as f32;
                    }
                }
            });
        }
    }
}

#[test]
fn the_judge_sees_what_padding_holds() {
    for case in [
        padded(view(4, 3, 30)).spoiled(),
        padded(view(60, 3, 1)).behind(Activation::Sigmoid).spoiled(),
    ] {
        let mut hidden = (0..case.view.len()).filter(|&i| case.weights().is_padding(i));
        let i = hidden.next_back().unwrap();
        for bad in [1e-30, -1e-45, f32::NAN, f32::INFINITY] {
            case.refuse(&["train"], |r| r.y[i] = bad);
            case.refuse(&["backward"], |r| r.gradients.dx[i] = bad);
            case.refuse(&["dresidual"], |r| r.dresidual[i] = bad);
            case.refuse(&["inference"], |r| r.inferred[i] = bad);
            case.refuse(&["frozen"], |r| r.frozen.dx[i] = bad);
            case.refuse(&["dresidual, frozen"], |r| r.dresidual_frozen[i] = bad);
        }
        // What leaks from it.
        for bad in [f32::NAN, f32::INFINITY] {
            case.refuse(&["train"], |r| r.y[0] = bad);
            case.refuse(&["train"], |r| r.saved.offset[1] = bad);
            case.refuse(&["backward"], |r| r.gradients.dx[0] = bad);
            case.refuse(&["backward"], |r| r.gradients.dweight[1] = bad);
            case.refuse(&["frozen"], |r| r.frozen.dbias[2] = bad);
        }
        case.refuse(&["train"], |r| r.y[0] = check::POISON);
        case.refuse(&["train"], |r| r.y[i] = check::POISON);
    }
}

/// What weight 0 hides from the statistics is in no scale of theirs.
#[test]
fn the_judge_measures_statistics_by_what_counts() {
    for outside in MODES {
        let mut case = padded(view(4, 3, 30)).within(outside);
        for (k, i) in case.placed() {
            if case.weights[k] == 0.0 {
                case.x[i] = 1e20;
            }
        }
        case.refuse(&[], |_| {});
        case.refuse(&["train"], |r| r.saved.batch_mean[0] *= 1.0 + 1e-5);
        case.refuse(&["train"], |r| r.saved.offset[1] += 1e-4);
        case.refuse(&["moments"], |r| {
            let mut rows = r.moments.to_rows();
            rows[3] += 1e-4;
            r.moments = Moments::from_rows(r.moments.count(), &rows).unwrap();
        });
        if outside == Outside::Zero {
            let i = case.view.runs(1).flatten().next().unwrap();
            case.refuse(&["train"], |r| r.y[i] += 1e-4);
            case.refuse(&["backward"], |r| r.gradients.dx[i] += 1e-4);
            case.refuse(&["backward"], |r| r.gradients.dweight[1] += 0.1);
        }
    }
}

#[test]
fn the_judge_sees_what_nothing_moved() {
    let next = |v: &mut f32| *v = f32::from_bits(v.to_bits() + 1);
    for activation in [Activation::None, Activation::Relu, Activation::Tanh] {
        for (outside, single) in MODES.into_iter().flat_map(|o| [(o, false), (o, true)]) {
            let weigh = |_: &mut Random, k| if single && k == 7 { 1.0 } else { 0.0 };
            let case = Case::new(view(2, 3, 8), 11, 1.0, weigh);
            let case = case.within(outside).behind(activation);
            case.refuse(&[], |_| {});
            assert_eq!(case.run().running, before(&case.view));
            case.refuse(&["train"], |r| next(&mut r.running.mean[1]));
            case.refuse(&["train"], |r| next(&mut r.running.variance[2]));
            case.refuse(&["train"], |r| r.running.batches[0] = 1);
            if !single && outside == Outside::Normalize {
                case.refuse(&["train"], |r| r.y.fill(0.0));
                case.refuse(&["backward"], |r| r.gradients.dx.fill(0.0));
                case.refuse(&["backward"], |r| r.gradients.dweight.fill(0.0));
            }
            if !single && outside == Outside::Zero {
                case.refuse(&["backward"], |r| r.gradients.dweight.fill(f32::NAN));
                case.refuse(&["backward"], |r| r.gradients.dbias[1] = 1e-30);
            }
        }
    }
}
