//! The oracle against finite differences, the paper, and what its special cases promise.

mod sub_batched;
mod weighted;

use approx::assert_relative_eq;

use super::*;
use crate::config::{Momentum, NonFinite, RunningUpdate, RunningVariance};
use crate::stats::RunningStatistics;

const EPS: f32 = 1e-5;

/// Numbers on a grid that f32 holds, so that steps along the grid are exact.
struct Grid(u64);

impl Grid {
    const STEP: f32 = 1.0 / 1024.0;

    /// From −2 to 2.
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % 4096) as f32 * Self::STEP - 2.0
    }

    fn take(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.next()).collect()
    }
}

fn view(outer: usize, channels: usize, inner: usize) -> View {
    View::of_lengths(outer, channels, inner)
}

fn views() -> [View; 4] {
    [view(2, 3, 4), view(9, 2, 1), view(1, 2, 7), view(1, 1, 5)]
}

/// The slope of `loss` along each of `values`.
fn slopes(values: &[f32], loss: impl Fn(&[f32]) -> f64) -> Vec<f64> {
    let slope = |i: usize| {
        let along = |steps: f32| {
            let mut values = values.to_vec();
            values[i] += steps * Grid::STEP;
            loss(&values)
        };
        // Five points, so that what is left goes with the fourth power of the step.
        let near = along(1.0) - along(-1.0);
        let far = along(2.0) - along(-2.0);
        (8.0 * near - far) / (12.0 * f64::from(Grid::STEP))
    };
    (0..values.len()).map(slope).collect()
}

/// `Σ y·dy`, whose gradient with respect to `y` is `dy`.
fn loss(y: &[f64], dy: &[f32]) -> f64 {
    y.iter().zip(dy).map(|(y, &dy)| y * f64::from(dy)).sum()
}

fn assert_close(got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len());
    for (&got, &expected) in got.iter().zip(expected) {
        assert_relative_eq!(got, expected, epsilon = 1e-7, max_relative = 1e-7);
    }
}

#[test]
fn gradients_through_the_batch_are_slopes_of_the_loss() {
    for view in views() {
        let mut grid = Grid(1);
        let (x, dy) = (grid.take(view.len()), grid.take(view.len()));
        let (weight, bias) = (grid.take(view.channels()), grid.take(view.channels()));
        let run = |x: &[f32], weight: &[f32], bias: &[f32]| {
            let p = Parameters {
                weight: Some(weight),
                bias: Some(bias),
            };
            loss(&train_forward(&view, x, p, EPS).unwrap().0, &dy)
        };
        let g = backward(&view, &x, &dy, Some(&weight), EPS).unwrap();
        assert_close(&g.dx, &slopes(&x, |x| run(x, &weight, &bias)));
        assert_close(
            &g.dweight,
            &slopes(&weight, |weight| run(&x, weight, &bias)),
        );
        assert_close(&g.dbias, &slopes(&bias, |bias| run(&x, &weight, bias)));
    }
}

#[test]
fn gradients_through_frozen_statistics_are_slopes_of_the_loss() {
    for view in views() {
        let mut grid = Grid(2);
        let (x, dy) = (grid.take(view.len()), grid.take(view.len()));
        let (weight, bias) = (grid.take(view.channels()), grid.take(view.channels()));
        let square = |v: f32| f64::from(v * v);
        let frozen = Moments {
            mean: grid
                .take(view.channels())
                .into_iter()
                .map(f64::from)
                .collect(),
            variance: grid.take(view.channels()).into_iter().map(square).collect(),
        };
        let run = |x: &[f32], weight: &[f32], bias: &[f32]| {
            let p = Parameters {
                weight: Some(weight),
                bias: Some(bias),
            };
            loss(&normalize(&view, x, &frozen, p, EPS).unwrap(), &dy)
        };
        let g = backward_frozen(&view, &x, &dy, &frozen, Some(&weight), EPS).unwrap();
        assert_close(&g.dx, &slopes(&x, |x| run(x, &weight, &bias)));
        assert_close(
            &g.dweight,
            &slopes(&weight, |weight| run(&x, weight, &bias)),
        );
        assert_close(&g.dbias, &slopes(&bias, |bias| run(&x, &weight, bias)));
    }
}

#[test]
fn missing_parameters_are_one_and_zero() {
    let view = view(2, 3, 4);
    let mut grid = Grid(3);
    let (x, dy) = (grid.take(view.len()), grid.take(view.len()));
    let p = Parameters {
        weight: Some(&[1.0; 3]),
        bias: Some(&[0.0; 3]),
    };
    let none = Parameters::default();
    let forward = train_forward(&view, &x, p, EPS).unwrap();
    assert_eq!(forward, train_forward(&view, &x, none, EPS).unwrap());
    let gradients = backward(&view, &x, &dy, p.weight, EPS).unwrap();
    assert_eq!(gradients, backward(&view, &x, &dy, None, EPS).unwrap());
}

/// Ioffe & Szegedy, section 3: `γ = √(σ²+ε)`, `β = μ` undo the normalization.
#[test]
fn some_weight_and_bias_give_x_back() {
    for view in views() {
        let x = Grid(4).take(view.len());
        let batch = moments(&view, &x).unwrap();
        let inv_std = batch.inv_std(EPS).into_iter();
        let weight: Vec<f32> = inv_std.map(|inv_std| (1.0 / inv_std) as f32).collect();
        let bias: Vec<f32> = batch.mean.iter().map(|&mean| mean as f32).collect();
        let p = Parameters {
            weight: Some(&weight),
            bias: Some(&bias),
        };
        let (y, _) = train_forward(&view, &x, p, EPS).unwrap();
        for (&y, &x) in y.iter().zip(&x) {
            // γ and β are rounded to f32.
            assert_relative_eq!(y, f64::from(x), epsilon = 1e-6);
        }
    }
}

fn running(momentum: Momentum, variance: RunningVariance) -> RunningUpdate {
    RunningUpdate {
        momentum,
        variance,
        non_finite: NonFinite::Skip,
    }
}

#[test]
fn running_statistics_move_by_momentum() {
    let view = view(1, 1, 4);
    let batch = moments(&view, &[1.0, 2.0, 3.0, 4.0]).unwrap();
    assert_eq!((batch.mean[0], batch.variance[0]), (2.5, 1.25));
    let old = RunningStatistics::new(1).unwrap();
    for (kind, variance) in [
        (RunningVariance::Biased, 1.25),
        (RunningVariance::Unbiased, 5.0 / 3.0),
    ] {
        let options = running(Momentum::new(0.25), kind);
        let (new, batches) = update_running(&old, &batch, view.count(), options).unwrap();
        assert_relative_eq!(new.mean[0], 0.25 * 2.5);
        assert_relative_eq!(new.variance[0], 0.75 + 0.25 * variance);
        assert_eq!(batches, [1]);
    }
}

#[test]
fn cumulative_running_statistics_are_the_plain_average() {
    let view = view(3, 2, 4);
    let mut grid = Grid(5);
    let options = running(Momentum::Cumulative, RunningVariance::Unbiased);
    let mut statistics = RunningStatistics::new(2).unwrap();
    let (mut mean, mut variance) = ([0.0; 2], [0.0; 2]);
    for k in 1..=20 {
        let batch = moments(&view, &grid.take(view.len())).unwrap();
        let (new, batches) = update_running(&statistics, &batch, view.count(), options).unwrap();
        for c in 0..2 {
            mean[c] += batch.mean[c];
            variance[c] += batch.variance[c] * 12.0 / 11.0;
            let k = f64::from(k);
            assert_relative_eq!(new.mean[c], mean[c] / k, epsilon = 1e-6);
            assert_relative_eq!(new.variance[c], variance[c] / k, epsilon = 1e-6);
        }
        assert_eq!(batches, [k; 2]);
        statistics = RunningStatistics {
            mean: new.mean.iter().map(|&v| v as f32).collect(),
            variance: new.variance.iter().map(|&v| v as f32).collect(),
            batches,
        };
    }
}

/// Every value of channel `c`.
fn channel<T: Copy>(view: &View, values: &[T], c: usize) -> Vec<T> {
    view.runs(c).flat_map(|run| values[run].to_vec()).collect()
}

#[test]
fn a_channel_that_is_not_finite_is_nan_and_alone() {
    let view = view(2, 3, 4);
    let mut grid = Grid(6);
    let (x, dy) = (grid.take(view.len()), grid.take(view.len()));
    let none = Parameters::default();
    let (y, batch) = train_forward(&view, &x, none, EPS).unwrap();
    let g = backward(&view, &x, &dy, None, EPS).unwrap();
    // The last two overflow the variance, not x.
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1e20] {
        let mut x = x.clone();
        x[5] = bad;
        let (bad_y, bad_batch) = train_forward(&view, &x, none, EPS).unwrap();
        let bad_g = backward(&view, &x, &dy, None, EPS).unwrap();
        assert!(!bad_batch.is_finite(1));
        assert!(channel(&view, &bad_y, 1).iter().all(|v| v.is_nan()));
        assert!(channel(&view, &bad_g.dx, 1).iter().all(|v| v.is_nan()));
        // Σdy does not look at x.
        assert!(bad_g.dweight[1].is_nan() && bad_g.dbias == g.dbias);
        for c in [0, 2] {
            assert_eq!(channel(&view, &bad_y, c), channel(&view, &y, c));
            assert_eq!(channel(&view, &bad_g.dx, c), channel(&view, &g.dx, c));
            assert_eq!(bad_g.dweight[c], g.dweight[c]);
        }

        let old = RunningStatistics::new(3).unwrap();
        let mut options = running(Momentum::new(0.1), RunningVariance::Unbiased);
        let (good, _) = update_running(&old, &batch, view.count(), options).unwrap();
        let (new, batches) = update_running(&old, &bad_batch, view.count(), options).unwrap();
        assert_eq!((new.mean[1], new.variance[1]), (0.0, 1.0));
        assert_eq!(
            (new.mean[0], new.variance[0]),
            (good.mean[0], good.variance[0])
        );
        assert_eq!(batches, [1, 0, 1]);
        options.non_finite = NonFinite::Propagate;
        let (new, batches) = update_running(&old, &bad_batch, view.count(), options).unwrap();
        assert!(new.mean[1].is_nan() && new.variance[1].is_nan());
        assert_eq!(batches, [1; 3]);
    }
}

#[test]
fn gradients_that_are_not_finite_are_nan() {
    let view = view(2, 2, 4);
    let mut grid = Grid(7);
    let (x, mut dy) = (grid.take(view.len()), grid.take(view.len()));
    dy[1] = f32::INFINITY;
    let g = backward(&view, &x, &dy, None, EPS).unwrap();
    assert!(channel(&view, &g.dx, 0).iter().all(|v| v.is_nan()));
    assert!(channel(&view, &g.dx, 1).iter().all(|v| v.is_finite()));
    assert!(g.dweight[0].is_nan());
    assert_eq!(g.dbias[0], f64::INFINITY);

    // Through frozen statistics no element of dx depends on another.
    let frozen = moments(&view, &x).unwrap();
    let g = backward_frozen(&view, &x, &dy, &frozen, None, EPS).unwrap();
    assert_eq!(g.dx.iter().filter(|v| !v.is_finite()).count(), 1);
    assert!(g.dweight[0].is_nan());
    assert_eq!(g.dbias[0], f64::INFINITY);
    assert!(g.dweight[1].is_finite() && g.dbias[1].is_finite());
}

#[test]
fn a_variance_below_zero_is_one_where_eps_outweighs_it() {
    let view = view(1, 2, 3);
    let x = Grid(8).take(view.len());
    let mut given = Moments {
        mean: vec![0.0; 2],
        variance: vec![f64::from(-9.9999e-6f32), 1.0],
    };
    let y = normalize(&view, &x, &given, Parameters::default(), EPS).unwrap();
    for (y, x) in y[..3].iter().zip(&x) {
        assert!((y - 99977.8 * f64::from(*x)).abs() <= 0.1 * f64::from(x.abs()));
    }
    // As far below as eps is above, and further.
    given.variance[0] = -f64::from(EPS);
    let y = normalize(&view, &x, &given, Parameters::default(), EPS).unwrap();
    let g = backward_frozen(&view, &x, &x, &given, None, EPS).unwrap();
    assert!(y[..3].iter().chain(&g.dx[..3]).all(|v| v.is_nan()));
    assert!(y[3..].iter().chain(&g.dx[3..]).all(|v| v.is_finite()));
    assert!(g.dweight[0].is_nan() && g.dweight[1].is_finite());
    assert_eq!(
        g.dbias[0],
        x[..3].iter().map(|&v| f64::from(v)).sum::<f64>()
    );
}

#[test]
fn one_value_per_channel_and_constant_channels_give_the_bias() {
    let p = Parameters {
        weight: Some(&[3.0, 4.0]),
        bias: Some(&[0.1, -7.5]),
    };
    for view in [view(1, 2, 1), view(1000, 2, 1), view(10, 2, 100)] {
        let x: Vec<f32> = (0..view.len())
            .map(|i| [0.1, 1e6 + 0.5][view.channel_of(i)])
            .collect();
        let (y, batch) = train_forward(&view, &x, p, EPS).unwrap();
        assert_eq!(batch.variance, [0.0; 2]);
        for (i, &y) in y.iter().enumerate() {
            assert_eq!(y, f64::from(p.bias(view.channel_of(i))));
        }
        let options = running(Momentum::new(1.0), RunningVariance::Biased);
        let old = RunningStatistics::new(2).unwrap();
        let (new, _) = update_running(&old, &batch, view.count(), options).unwrap();
        assert_eq!(new, batch);
    }
}
