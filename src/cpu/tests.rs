//! The CPU path against the oracle, and its own promises: special cases, bits that do not depend
//! on threads.

mod sub_batched;
mod weighted;

use super::*;
use crate::config::{Momentum, NonFinite, RunningUpdate, RunningVariance};
use crate::reference;
use crate::stats::{Moments, Parameters, RunningStatistics};
use crate::weights::Weights;

const EPS: f32 = 1e-5;

struct Random(u64);

impl Random {
    /// Uniform from −1 to 1.
    fn uniform(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// About normal, mean 0 and deviation 1.
    fn normal(&mut self) -> f32 {
        self.uniform() + self.uniform() + self.uniform()
    }

    fn take(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.normal()).collect()
    }
}

fn view(outer: usize, channels: usize, inner: usize) -> View {
    View::of_lengths(outer, channels, inner)
}

/// Both patterns, with runs and rows shorter and longer than, and no multiples of, every unit of
/// work.
fn views() -> Vec<View> {
    vec![
        view(4, 5, 33),
        view(11, 3, 400),
        view(5, 40, 49),
        view(3, 2, 20_001),
        view(1, 1, 70_000),
        view(70_001, 1, 1),
        view(3, 100, 9),
        view(64, 129, 1),
        view(5, 700, 1),
        view(9_001, 3, 1),
        view(777, 5, 2),
        view(400, 30, 7),
    ]
}

/// Makes the tensors whose element `i` of channel `c` is `f(c, i)`.
fn fill(view: &View, mut f: impl FnMut(usize, usize) -> f32) -> Vec<f32> {
    let mut x = vec![0.0; view.len()];
    for c in 0..view.channels() {
        for (i, at) in view.runs(c).flatten().enumerate() {
            x[at] = f(c, i);
        }
    }
    x
}

type Value = fn(&mut Random, usize, usize, usize) -> f32;

/// Data by name: a value from the channel, the place in it, and the values per channel.
const DATA: [(&str, Value); 12] = [
    ("normal", |r, _, _, _| r.normal()),
    ("mean 1e4, std 1", |r, _, _, _| 1e4 + r.normal()),
    ("mean 1e3, std 1e-2", |r, _, _, _| 1e3 + 1e-2 * r.normal()),
    ("mean 1e6, std 1", |r, _, _, _| 1e6 + r.normal()),
    ("alternating", |_, _, i, _| [0.1, -0.1][i % 2]),
    ("constant", |_, c, _, _| 0.1 + 1e5 * c as f32),
    ("wildly different scales", |r, c, _, _| {
        r.normal() * 10f32.powi(c as i32 % 9 * 4 - 16)
    }),
    ("black border", |r, _, i, m| {
        let depth = i.min(m - 1 - i) * 16 / m;
        if depth == 0 { 0.0 } else { 200.0 + r.normal() }
    }),
    // All that the pivot is chosen from is border.
    ("thin black border", |r, _, i, m| {
        let quarter = i % (m / 4).max(1) == 0 || i == m - 1 || i == m / 4 * 3 || i == m / 2;
        if quarter { 0.0 } else { 200.0 + r.normal() }
    }),
    (
        "a hot pixel",
        |r, _, i, m| if i == m / 3 { 1e6 } else { r.normal() },
    ),
    // All that the pivot is chosen from is hot.
    ("hot pixels", |r, _, i, m| {
        let hot = i == 0 || i == m / 4 || i == m / 2;
        if hot { 1e6 } else { r.normal() }
    }),
    ("tiny", |r, _, _, _| 1e-20 * r.normal()),
];

/// The worst error of one result, as a share of its bound.
#[derive(Clone, Copy)]
struct Worst(f64);

impl Worst {
    fn see(&mut self, got: f32, expected: f64, scale: f64, bound: f64) {
        let error = (f64::from(got) - expected).abs() / scale.max(1.2e-38) / bound;
        // A NaN must neither pass as no error nor be forgotten.
        if !(error <= self.0 || self.0.is_nan()) {
            self.0 = error;
        }
    }
}

/// The largest of `f` over the elements of channel `c`.
fn largest(view: &View, c: usize, f: impl Fn(usize) -> f64) -> f64 {
    view.runs(c).flatten().map(f).fold(0.0, f64::max)
}

fn total(view: &View, c: usize, f: impl Fn(usize) -> f64) -> f64 {
    view.runs(c).flatten().map(f).sum()
}

/// Forward and backward, through batch and given statistics, within the bounds of the contract.
fn check(name: &str, view: &View, x: &[f32], dy: &[f32], p: Parameters<'_>) {
    let worst = [
        ("forward", check_forward(view, x, p)),
        ("inference", check_inference(view, x, p)),
        ("backward", check_backward(view, x, dy, p.weight)),
        ("frozen", check_frozen(view, x, dy, p.weight)),
    ];
    for (what, worst) in worst {
        assert!(
            worst.0 <= 1.0,
            "{what}, {name}, {view:?}: {} of its bound",
            worst.0
        );
    }
}

fn check_forward(view: &View, x: &[f32], p: Parameters<'_>) -> Worst {
    let mut worst = Worst(0.0);
    let mut y = vec![f32::NAN; x.len()];
    let options = RunningUpdate {
        momentum: Momentum::new(0.1),
        variance: RunningVariance::Unbiased,
        non_finite: NonFinite::Skip,
    };
    let old = RunningStatistics::new(view.channels()).unwrap();
    let mut new = old.clone();
    let input = Input::new(*view, x, p, EPS);
    let update = Some(Running::new(&mut new, options));
    let saved = train_forward(&input, update, &mut y).unwrap();
    let merged = moments(view, x).unwrap();
    let (y_true, batch) = reference::train_forward(view, x, p, EPS).unwrap();
    let (running, batches) =
        reference::update_running(&old, &batch, view.count(), options).unwrap();
    assert_eq!(new.batches, batches);
    let inv_std = batch.inv_std(EPS);
    for c in 0..view.channels() {
        let (inv_std, mean, variance) = (inv_std[c], batch.mean[c], batch.variance[c]);
        let x_hat = |i: usize| (f64::from(x[i]) - mean) * inv_std;
        let (weight, bias) = (f64::from(p.weight(c)), f64::from(p.bias(c)));
        let scale = largest(view, c, |i| (x_hat(i) * weight).abs()) + bias.abs();
        for i in view.runs(c).flatten() {
            worst.see(y[i], y_true[i], scale, 5e-7);
        }
        let magnitude = largest(view, c, |i| f64::from(x[i]).abs());
        worst.see(saved.batch_mean[c], mean, magnitude, 5e-7);
        worst.see(saved.batch_var[c], variance, variance, 5e-7);
        worst.see(saved.inv_std[c], inv_std, inv_std, 5e-7);
        worst.see(new.mean[c], running.mean[c], magnitude, 5e-7);
        let scale = running.variance[c].max(variance).max(1.0);
        worst.see(new.variance[c], running.variance[c], scale, 5e-7);
        // The pair is far better than one f32.
        let pair = f64::from(saved.pivot[c]) + f64::from(saved.offset[c]);
        worst.see(
            (pair - mean) as f32,
            0.0,
            variance.sqrt().max(mean.abs() * 1e-9),
            5e-7,
        );
        assert_eq!(
            (merged.pivot()[c], merged.offset()[c]),
            (saved.pivot[c], saved.offset[c])
        );
        worst.see(
            merged.m2()[c],
            variance * merged.count(),
            variance * merged.count(),
            5e-7,
        );
    }
    worst
}

/// Running statistics to infer with: the batch's own, rounded.
fn given(view: &View, x: &[f32]) -> (Vec<f32>, Vec<f32>, reference::Moments) {
    let batch = reference::moments(view, x).unwrap();
    let round = |v: &[f64]| v.iter().map(|&v| v as f32).collect::<Vec<_>>();
    let widen = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    let (mean, variance) = (round(&batch.mean), round(&batch.variance));
    let rounded = reference::Moments::new(widen(&mean), widen(&variance)).unwrap();
    (mean, variance, rounded)
}

fn check_inference(view: &View, x: &[f32], p: Parameters<'_>) -> Worst {
    let mut worst = Worst(0.0);
    let (mean, variance, given) = given(view, x);
    let mut y = vec![f32::NAN; x.len()];
    let input = Input::new(*view, x, p, EPS);
    inference(&input, Statistics::new(&mean, &variance), &mut y).unwrap();
    let y_true = reference::normalize(view, x, &given, p, EPS).unwrap();
    for (c, inv_std) in given.inv_std(EPS).into_iter().enumerate() {
        let scale = inv_std * f64::from(p.weight(c));
        let x_hat = |i: usize| ((f64::from(x[i]) - given.mean[c]) * scale).abs();
        let scale = largest(view, c, x_hat) + f64::from(p.bias(c)).abs();
        for i in view.runs(c).flatten() {
            worst.see(y[i], y_true[i], scale, 5e-7);
        }
    }
    worst
}

fn check_backward(view: &View, x: &[f32], dy: &[f32], weight: Option<&[f32]>) -> Worst {
    let mut y = vec![f32::NAN; x.len()];
    let input = Input::new(*view, x, Parameters::default().with_weight(weight), EPS);
    let saved = train_forward(&input, None, &mut y).unwrap();
    let mut dx = y;
    let got = backward(&input, dy, &saved, Some(&mut dx)).unwrap();
    assert_eq!(got, backward(&input, dy, &saved, None).unwrap());
    let batch = reference::moments(view, x).unwrap();
    let g = reference::backward(view, x, dy, weight, EPS).unwrap();
    compare_gradients(view, x, dy, weight, (&batch, true), &g, (&dx, got))
}

fn check_frozen(view: &View, x: &[f32], dy: &[f32], weight: Option<&[f32]>) -> Worst {
    let (mean, variance, given) = given(view, x);
    let mut dx = vec![f32::NAN; x.len()];
    let input = Input::new(*view, x, Parameters::default().with_weight(weight), EPS);
    let statistics = Statistics::new(&mean, &variance);
    let got = backward_frozen(&input, dy, statistics, Some(&mut dx)).unwrap();
    let skipped = backward_frozen(&input, dy, statistics, None).unwrap();
    assert_eq!(got, skipped);
    let g = reference::backward_frozen(view, x, dy, &given, weight, EPS).unwrap();
    compare_gradients(view, x, dy, weight, (&given, false), &g, (&dx, got))
}

fn compare_gradients(
    view: &View,
    x: &[f32],
    dy: &[f32],
    weight: Option<&[f32]>,
    (statistics, through_batch): (&reference::Moments, bool),
    g: &reference::Gradients,
    (dx, got): (&[f32], ParameterGradients),
) -> Worst {
    let ParameterGradients { dweight, dbias } = got;
    let mut worst = Worst(0.0);
    let m = view.count() as f64;
    let inv_std = statistics.inv_std(EPS);
    for c in 0..view.channels() {
        let inv_std = inv_std[c];
        let x_hat = |i: usize| (f64::from(x[i]) - statistics.mean[c]) * inv_std;
        let factor = f64::from(weight.map_or(1.0, |w| w[c])).abs() * inv_std;
        let scale = largest(view, c, |i| {
            let through = g.dbias[c].abs() / m + (x_hat(i) * g.dweight[c]).abs() / m;
            let through = if through_batch { through } else { 0.0 };
            factor * (f64::from(dy[i]).abs() + through)
        });
        for i in view.runs(c).flatten() {
            worst.see(dx[i], g.dx[i], scale, 1e-6);
        }
        let scale = total(view, c, |i| (f64::from(dy[i]) * x_hat(i)).abs());
        worst.see(dweight[c], g.dweight[c], scale, 1e-6);
        let scale = total(view, c, |i| f64::from(dy[i]).abs());
        worst.see(dbias[c], g.dbias[c], scale, 1e-6);
    }
    worst
}

#[test]
fn every_shape_and_kind_of_data_is_within_bounds() {
    for view in views() {
        let mut random = Random(view.len() as u64);
        let weight = random.take(view.channels());
        let bias = random.take(view.channels());
        let dy = random.take(view.len());
        for (name, value) in DATA {
            let m = view.count();
            let x = fill(&view, |c, i| value(&mut random, c, i, m));
            let both = Parameters {
                weight: Some(&weight),
                bias: Some(&bias),
            };
            check(name, &view, &x, &dy, both);
        }
    }
}

#[test]
fn every_kind_of_data_is_within_bounds_with_a_constant_gradient() {
    for view in [view(11, 3, 400), view(3_001, 3, 1)] {
        let mut random = Random(3);
        for dy in [1.0, 0.1, -3e5] {
            let dy = vec![dy; view.len()];
            for (name, value) in DATA {
                let m = view.count();
                let x = fill(&view, |c, i| value(&mut random, c, i, m));
                check(name, &view, &x, &dy, Parameters::default());
            }
        }
    }
}

#[test]
fn ten_million_values_are_within_bounds() {
    let mut random = Random(4);
    let pool = random.take(65_537);
    for (view, mean, deviation) in [
        (view(1, 1, 10_000_000), 0.1, 0.0),
        (view(1, 1, 10_000_000), 1e4, 1.0),
        (view(2_500_000, 2, 2), 0.3, 1.0),
    ] {
        let x: Vec<f32> = (0..view.len())
            .map(|i| mean + deviation * pool[i % pool.len()])
            .collect();
        let dy: Vec<f32> = (0..view.len()).map(|i| pool[i % 10_007].abs()).collect();
        check("ten million", &view, &x, &dy, Parameters::default());
    }
}

/// Outputs that are streamed: lines of one run, of two and of several, and rows that are whole lines or are not.
fn large_views() -> [View; 6] {
    [
        view(3, 2, 50_001),
        view(40, 70, 100),
        view(90, 64, 49),
        view(3, 9_000, 10),
        view(300, 1_001, 1),
        view(20_001, 3, 5),
    ]
}

#[test]
fn streamed_outputs_are_within_bounds() {
    for view in large_views() {
        assert!(lines::streams(view.len()), "{view:?}");
        let mut random = Random(6);
        let (x, dy) = (random.take(view.len()), random.take(view.len()));
        check("streamed", &view, &x, &dy, Parameters::default());
    }
}

/// An output may begin anywhere in a cache line, and what lies beside it stays.
#[test]
fn outputs_may_lie_anywhere() {
    const BESIDE: f32 = -7.5;
    let small = [
        view(5, 40, 49),
        view(64, 129, 1),
        view(2, 3, 2),
        view(1, 1, 1),
    ];
    for view in large_views().into_iter().chain(small) {
        let mut random = Random(7);
        let (x, dy) = (random.take(view.len()), random.take(view.len()));
        let input = Input::new(view, &x, Parameters::default(), EPS);
        let saved = SavedStatistics::from_rows(&vec![0.5; 5 * view.channels()]).unwrap();
        let statistics = RunningStatistics::new(view.channels()).unwrap();
        let at = |start: usize| {
            let mut all = vec![BESIDE; view.len() + 2 * lines::LINE];
            let out = start..start + view.len();
            inference(&input, &statistics, &mut all[out.clone()]).unwrap();
            let y = all[out.clone()].to_vec();
            backward(&input, &dy, &saved, Some(&mut all[out.clone()])).unwrap();
            let dx = all.splice(out, []).collect::<Vec<_>>();
            assert!(all.iter().all(|&v| v == BESIDE), "{view:?} at {start}");
            [y, dx].concat()
        };
        let first = at(0);
        for start in 1..=lines::LINE {
            assert!(at(start) == first, "{view:?} at {start}");
        }
    }
}

/// Everything the path computes, as bits.
fn everything(view: &View, x: &[f32], dy: &[f32]) -> Vec<u32> {
    let input = Input::new(*view, x, Parameters::default(), EPS);
    let mut y = vec![0.0; x.len()];
    let mut dx = vec![0.0; x.len()];
    let saved = train_forward(&input, None, &mut y).unwrap();
    let ParameterGradients { dweight, dbias } =
        backward(&input, dy, &saved, Some(&mut dx)).unwrap();
    let m2 = moments(view, x).unwrap().m2().to_vec();
    let SavedStatistics {
        pivot,
        offset,
        inv_std,
        batch_mean,
        batch_var,
    } = saved;
    let statistics = [pivot, offset, inv_std, batch_mean, batch_var, m2];
    let tensors = [y, dx, dweight, dbias];
    let all = tensors.iter().chain(&statistics).flatten();
    all.map(|v| v.to_bits()).collect()
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    for view in views().into_iter().chain(large_views()) {
        let mut random = Random(5);
        let (x, dy) = (random.take(view.len()), random.take(view.len()));
        let [one, two, five] = [1, 2, 5].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build().unwrap().install(|| everything(&view, &x, &dy))
        });
        assert!(one == two && one == five, "{view:?}");
    }
}

/// A view of each pattern, with runs or rows that go around more than once.
fn special_views() -> [View; 3] {
    [view(3, 4, 50), view(2, 4, 9_000), view(3_000, 4, 1)]
}

/// The bits of channel `c`.
fn bits(view: &View, values: &[f32], c: usize) -> Vec<u32> {
    view.runs(c)
        .flatten()
        .map(|i| values[i].to_bits())
        .collect()
}

fn is_nan(view: &View, values: &[f32], c: usize) -> bool {
    view.runs(c).flatten().all(|i| values[i].is_nan())
}

#[test]
fn a_channel_that_is_not_finite_is_nan_and_alone() {
    for view in special_views() {
        let mut random = Random(6);
        let (x, dy) = (random.take(view.len()), random.take(view.len()));
        let forward_backward = |x: &[f32], options: RunningUpdate| {
            let (mut y, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            let mut running = RunningStatistics::new(4).unwrap();
            let input = Input::new(view, x, Parameters::default(), EPS);
            let update = Some(Running::new(&mut running, options));
            let saved = train_forward(&input, update, &mut y).unwrap();
            let gradients = backward(&input, &dy, &saved, Some(&mut dx)).unwrap();
            (y, dx, saved, gradients, running)
        };
        let mut options = RunningUpdate {
            momentum: Momentum::Cumulative,
            variance: RunningVariance::Unbiased,
            non_finite: NonFinite::Skip,
        };
        let good = forward_backward(&x, options);
        for (bad, place) in [
            (f32::NAN, 0),
            (f32::INFINITY, view.count() / 2),
            (f32::NEG_INFINITY, view.count() - 1),
            (f32::MAX, 7),
            // Overflows the variance, not x.
            (1e22, 7),
        ] {
            let mut x = x.clone();
            x[view.runs(1).flatten().nth(place).unwrap()] = bad;
            options.non_finite = NonFinite::Skip;
            let (y, dx, saved, gradients, running) = forward_backward(&x, options);
            let ParameterGradients { dweight, dbias } = gradients;
            assert!(is_nan(&view, &y, 1) && is_nan(&view, &dx, 1), "{bad}");
            // Σdy does not look at x.
            assert!(dweight[1].is_nan() && dbias == good.3.dbias);
            assert!(saved.inv_std[1].is_nan() && saved.batch_mean[1].is_nan());
            assert!(saved.batch_var[1].is_nan());
            for c in [0, 2, 3] {
                assert_eq!(bits(&view, &y, c), bits(&view, &good.0, c));
                assert_eq!(bits(&view, &dx, c), bits(&view, &good.1, c));
                assert_eq!(saved.inv_std[c], good.2.inv_std[c]);
                assert_eq!(dweight[c], good.3.dweight[c]);
                assert_eq!(running.mean[c], good.4.mean[c]);
                assert_eq!(running.variance[c], good.4.variance[c]);
            }
            assert_eq!((running.mean[1], running.variance[1]), (0.0, 1.0));
            assert_eq!(running.batches, [1, 0, 1, 1]);

            options.non_finite = NonFinite::Propagate;
            let (.., running) = forward_backward(&x, options);
            assert!(running.mean[1].is_nan() && running.variance[1].is_nan());
            assert_eq!(running.batches, [1; 4]);
        }
    }
}

#[test]
fn gradients_that_are_not_finite_are_nan() {
    for view in special_views() {
        let mut random = Random(7);
        let (x, mut dy) = (random.take(view.len()), random.take(view.len()));
        let mut y = vec![0.0; x.len()];
        let input = Input::new(view, &x, Parameters::default(), EPS);
        let saved = train_forward(&input, None, &mut y).unwrap();
        let bad = view.runs(2).flatten().nth(view.count() / 3).unwrap();
        dy[bad] = f32::INFINITY;
        let mut dx = y;
        let got = backward(&input, &dy, &saved, Some(&mut dx)).unwrap();
        let ParameterGradients { dweight, dbias } = got;
        assert!(is_nan(&view, &dx, 2) && dweight[2].is_nan());
        assert_eq!(dbias[2], f32::INFINITY);
        assert_eq!(dx.iter().filter(|v| v.is_nan()).count(), view.count());

        let statistics = Statistics::new(&saved.batch_mean, &saved.batch_var);
        let got = backward_frozen(&input, &dy, statistics, Some(&mut dx)).unwrap();
        let ParameterGradients { dweight, dbias } = got;
        assert!(dweight[2].is_nan());
        assert_eq!(dbias[2], f32::INFINITY);
        assert!(dweight[1].is_finite() && dbias[1].is_finite());
        assert_eq!(dx[bad], f32::INFINITY);
        assert_eq!(dx.iter().filter(|v| !v.is_finite()).count(), 1);
    }
}

#[test]
fn inference_takes_each_element_alone_and_no_variance_below_eps() {
    for view in special_views() {
        let mut x = Random(8).take(view.len());
        let dy = x.clone();
        x[5] = f32::NAN;
        x[17] = f32::INFINITY;
        let (mean, mut variance) = (vec![0.5; 4], vec![2.0; 4]);
        let input = Input::new(view, &x, Parameters::default(), EPS);
        let mut y = vec![0.0; x.len()];
        inference(&input, Statistics::new(&mean, &variance), &mut y).unwrap();
        assert!(y[5].is_nan() && y[17] == f32::INFINITY);
        assert_eq!(y.iter().filter(|v| !v.is_finite()).count(), 2);

        // As far below zero as eps is above.
        variance[3] = -EPS;
        inference(&input, Statistics::new(&mean, &variance), &mut y).unwrap();
        assert!(is_nan(&view, &y, 3));
        let mut dx = vec![0.0; x.len()];
        let input = Input::new(view, &dy, Parameters::default(), EPS);
        let statistics = Statistics::new(&mean, &variance);
        let got = backward_frozen(&input, &dy, statistics, Some(&mut dx)).unwrap();
        let ParameterGradients { dweight, dbias } = got;
        assert!(is_nan(&view, &dx, 3) && dweight[3].is_nan());
        assert_eq!(dx.iter().filter(|v| v.is_nan()).count(), view.count());
        assert!(dweight[..3].iter().chain(&dbias).all(|v| v.is_finite()));
    }
}

#[test]
fn one_value_per_channel_and_constant_channels_give_the_bias() {
    let p = Parameters {
        weight: Some(&[3.0, 4.0]),
        bias: Some(&[0.1, -7.5]),
    };
    for view in [view(1, 2, 1), view(5_000, 2, 1), view(3, 2, 10_000)] {
        let x = fill(&view, |c, _| [0.1, 1e6 + 0.5][c]);
        let dy = Random(9).take(view.len());
        let (mut y, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        let options = RunningUpdate {
            momentum: Momentum::new(1.0),
            variance: RunningVariance::Biased,
            non_finite: NonFinite::Skip,
        };
        let mut running = RunningStatistics::new(2).unwrap();
        let update = Some(Running::new(&mut running, options));
        let input = Input::new(view, &x, p, f32::MIN_POSITIVE);
        let saved = train_forward(&input, update, &mut y).unwrap();
        assert_eq!(y, fill(&view, |c, _| p.bias(c)));
        assert_eq!(saved.batch_var, [0.0; 2]);
        assert_eq!(running.mean, [0.1, 1e6 + 0.5]);
        assert_eq!(running.variance, [0.0; 2]);
        let gradients = backward(&input, &dy, &saved, Some(&mut dx)).unwrap();
        assert_eq!(gradients.dweight, [0.0; 2]);
        assert!(dx.iter().all(|v| v.is_finite()));
    }
}

#[test]
fn cumulative_running_statistics_are_the_plain_average() {
    let view = view(20, 2, 30);
    let mut random = Random(10);
    let options = RunningUpdate {
        momentum: Momentum::Cumulative,
        variance: RunningVariance::Biased,
        non_finite: NonFinite::Skip,
    };
    let mut running = RunningStatistics::new(2).unwrap();
    let mut sums = [0.0; 2];
    let mut y = vec![0.0; view.len()];
    for k in 1..=10 {
        let x = random.take(view.len());
        let update = Some(Running::new(&mut running, options));
        let input = Input::new(view, &x, Parameters::default(), EPS);
        let saved = train_forward(&input, update, &mut y).unwrap();
        for (c, sum) in sums.iter_mut().enumerate() {
            *sum += f64::from(saved.batch_var[c]);
            approx::assert_relative_eq!(
                f64::from(running.variance[c]),
                *sum / f64::from(k),
                max_relative = 1e-6
            );
        }
        assert_eq!(running.batches, [k; 2]);
    }
}

#[test]
fn what_is_of_the_wrong_length_is_refused_by_name() {
    let (view, none) = (view(2, 3, 4), Parameters::default());
    let (short, long) = (&[1.0; 2][..], &[1.0; 25][..]);
    let (x, mut y) = ([0.0; 24], [0.0; 24]);
    let input = Input::new(view, &x, none, EPS);
    let saved = train_forward(&input, None, &mut y).unwrap();
    let given = Statistics::new(&[0.0; 3], &[1.0; 3]);

    for (input, told) in [
        (
            Input::new(view, &x, none.with_weight(short), EPS),
            "weight has 2 values, expected 3",
        ),
        (
            Input::new(view, &x, none.with_bias(short), EPS),
            "bias has 2 values, expected 3",
        ),
        (
            Input::new(view, long, none, EPS),
            "x has 25 values, expected 24",
        ),
    ] {
        for refused in [
            train_forward(&input, None, &mut y).map(drop),
            inference(&input, given, &mut y),
            backward(&input, &x, &saved, None).map(drop),
            backward_frozen(&input, &x, given, None).map(drop),
        ] {
            assert_eq!(refused.unwrap_err().to_string(), told);
        }
    }

    for (statistics, told) in [
        (
            Statistics::new(short, &[1.0; 3]),
            "mean has 2 values, expected 3",
        ),
        (
            Statistics::new(&[0.0; 3], short),
            "variance has 2 values, expected 3",
        ),
    ] {
        for refused in [
            inference(&input, statistics, &mut y),
            backward_frozen(&input, &x, statistics, None).map(drop),
        ] {
            assert_eq!(refused.unwrap_err().to_string(), told);
        }
    }

    let options = Config::pytorch().running.unwrap();
    let mut running = RunningStatistics::new(3).unwrap();
    running.variance.pop();
    let before = running.clone();
    let refused = train_forward(&input, Some(Running::new(&mut running, options)), &mut y);
    let told = "running variance has 2 values, expected 3";
    assert_eq!(refused.unwrap_err().to_string(), told);
    assert_eq!(running, before);
}
