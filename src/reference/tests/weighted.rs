//! Weighted statistics: by hand, by finite differences, and where weights say what repeated or missing values would.

use super::*;
use crate::weights::{Outside, Weights};

const MODES: [Outside; 2] = [Outside::Normalize, Outside::Zero];

/// Weights of a channel's values, in the order of the view: `outer` by `inner`.
fn of<'a>(view: &View, values: &'a [f32], outside: Outside) -> Weights<'a> {
    let (outer, channels, inner) = view.lengths();
    let shape = [outer, 1, inner];
    Weights::new(values, &shape, &[outer, channels, inner], 1, outside).unwrap()
}

/// From 0 to 4, a quarter of them 0 where there are `zeros`; the first is not.
fn some(grid: &mut Grid, view: &View, zeros: bool) -> Vec<f32> {
    let mut weights: Vec<f32> = (0..view.count()).map(|_| grid.next() + 2.0).collect();
    if zeros {
        let spaced = weights.iter_mut().enumerate().filter(|(k, _)| k % 4 == 1);
        spaced.for_each(|(_, w)| *w = 0.0);
    }
    weights[0] = 0.75;
    weights
}

fn unbiased() -> RunningUpdate {
    running(Momentum::new(1.0), RunningVariance::Unbiased)
}

#[test]
fn two_values_of_which_one_counts_twice() {
    let view = view(2, 1, 1);
    let weights = of(&view, &[1.0, 2.0], Outside::Normalize);
    let batch = weighted_moments(&view, &[0.0, 1.0], &weights).unwrap();
    assert_relative_eq!(batch.mean[0], 2.0 / 3.0);
    assert_relative_eq!(batch.variance[0], 2.0 / 9.0);
    let old = RunningStatistics::new(1).unwrap();
    let (new, batches) = weighted_update_running(&old, &batch, &weights, unbiased()).unwrap();
    assert_relative_eq!(new.variance[0], 1.0 / 3.0, max_relative = 1e-12);
    assert_eq!(batches, [1]);
}

#[test]
fn sequences_of_two_lengths() {
    let (view, nan) = (view(2, 1, 4), f32::NAN);
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 9.0, nan, nan];
    let mask = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0];
    let weights = of(&view, &mask, Outside::Zero);
    let p = Parameters::default();
    let (y, batch) = weighted_train_forward(&view, &x, p, EPS, &weights).unwrap();
    assert_relative_eq!(batch.mean[0], 4.0);
    assert_relative_eq!(batch.variance[0], 20.0 / 3.0);
    let old = RunningStatistics::new(1).unwrap();
    let (new, _) = weighted_update_running(&old, &batch, &weights, unbiased()).unwrap();
    assert_relative_eq!(new.variance[0], 8.0, max_relative = 1e-12);
    let dy = [1.0, 0.5, -1.0, 2.0, 0.25, 3.0, nan, nan];
    let g = weighted_backward(&view, &x, &dy, None, EPS, &weights).unwrap();
    // What is left is a batch of its own.
    let short = self::view(6, 1, 1);
    let (y_short, _) = train_forward(&short, &x[..6], p, EPS).unwrap();
    let g_short = backward(&short, &x[..6], &dy[..6], None, EPS).unwrap();
    assert_close(&y[..6], &y_short);
    assert_close(&g.dx[..6], &g_short.dx);
    assert_eq!((&g.dweight, &g.dbias), (&g_short.dweight, &g_short.dbias));
    assert_eq!((&y[6..], &g.dx[6..]), (&[0.0; 2][..], &[0.0; 2][..]));
    let inferred = weighted_normalize(&view, &x, &batch, p, EPS, &weights).unwrap();
    assert_eq!(inferred, y);
    let frozen = weighted_backward_frozen(&view, &x, &dy, &batch, None, EPS, &weights).unwrap();
    assert_eq!((&frozen.dbias, &frozen.dx[6..]), (&g.dbias, &[0.0; 2][..]));
    assert_relative_eq!(frozen.dweight[0], g.dweight[0]);
}

#[test]
fn gradients_are_slopes_of_the_loss() {
    let cases = views()
        .into_iter()
        .flat_map(|view| MODES.map(|mode| (view, mode)));
    for ((view, outside), zeros) in cases.flat_map(|case| [false, true].map(|zeros| (case, zeros)))
    {
        let mut grid = Grid(1);
        let (x, dy) = (grid.take(view.len()), grid.take(view.len()));
        let (weight, bias) = (grid.take(view.channels()), grid.take(view.channels()));
        let w = some(&mut grid, &view, zeros);
        let weights = of(&view, &w, outside);
        let run = |x: &[f32], weight: &[f32], bias: &[f32]| {
            let p = Parameters {
                weight: Some(weight),
                bias: Some(bias),
            };
            let (y, _) = weighted_train_forward(&view, x, p, EPS, &weights).unwrap();
            loss(&y, &dy)
        };
        let g = weighted_backward(&view, &x, &dy, Some(&weight), EPS, &weights).unwrap();
        assert_close(&g.dx, &slopes(&x, |x| run(x, &weight, &bias)));
        let by_weight = slopes(&weight, |weight| run(&x, weight, &bias));
        assert_close(&g.dweight, &by_weight);
        assert_close(&g.dbias, &slopes(&bias, |bias| run(&x, &weight, bias)));
        // Through frozen statistics.
        let frozen = weighted_moments(&view, &x, &weights).unwrap();
        let run = |x: &[f32], weight: &[f32]| {
            let p = Parameters {
                weight: Some(weight),
                bias: Some(&bias),
            };
            let y = weighted_normalize(&view, x, &frozen, p, EPS, &weights).unwrap();
            loss(&y, &dy)
        };
        let gamma = Some(&weight[..]);
        let g = weighted_backward_frozen(&view, &x, &dy, &frozen, gamma, EPS, &weights).unwrap();
        assert_close(&g.dx, &slopes(&x, |x| run(x, &weight)));
        assert_close(&g.dweight, &slopes(&weight, |weight| run(&x, weight)));
    }
}

#[test]
fn weights_of_one_are_none() {
    for (view, outside) in views().into_iter().zip([MODES, MODES].concat()) {
        let mut grid = Grid(2);
        let (x, dy) = (grid.take(view.len()), grid.take(view.len()));
        let ones = vec![1.0; view.count()];
        let weights = of(&view, &ones, outside);
        let p = Parameters::default();
        let (y, batch) = train_forward(&view, &x, p, EPS).unwrap();
        let weighted = weighted_train_forward(&view, &x, p, EPS, &weights).unwrap();
        assert_eq!(weighted, (y, batch.clone()));
        let g = weighted_backward(&view, &x, &dy, None, EPS, &weights).unwrap();
        assert_eq!(g, backward(&view, &x, &dy, None, EPS).unwrap());
        let old = RunningStatistics::new(view.channels()).unwrap();
        let new = weighted_update_running(&old, &batch, &weights, unbiased()).unwrap();
        let plain = update_running(&old, &batch, view.count(), unbiased()).unwrap();
        assert_eq!(new, plain);
    }
}

#[test]
fn whole_weights_are_values_that_repeat() {
    let (x, dy) = ([1.0, -2.0, 4.0, 0.5], [0.5f32, 1.0, -1.0, 2.0]);
    let counts = [1.0, 3.0, 0.0, 2.0];
    let once = view(4, 1, 1);
    let weights = of(&once, &counts, Outside::Zero);
    let repeated = |values: &[f32]| -> Vec<f32> {
        let pairs = values.iter().zip(counts);
        pairs.flat_map(|(&v, n)| vec![v; n as usize]).collect()
    };
    let many = view(6, 1, 1);
    let batch = weighted_moments(&once, &x, &weights).unwrap();
    let plain = moments(&many, &repeated(&x)).unwrap();
    assert_close(&batch.mean, &plain.mean);
    assert_close(&batch.variance, &plain.variance);
    // Gradients of copies add up.
    let shared: Vec<f32> = dy
        .iter()
        .zip(counts)
        .map(|(dy, n)| dy / n.max(1.0))
        .collect();
    let g = weighted_backward(&once, &x, &dy, None, EPS, &weights).unwrap();
    let copies = backward(&many, &repeated(&x), &repeated(&shared), None, EPS).unwrap();
    assert_close(&g.dweight, &copies.dweight);
    assert_close(&g.dbias, &copies.dbias);
    let summed = [&[0][..], &[1, 2, 3], &[], &[4, 5]];
    let summed = summed.map(|copy| copy.iter().map(|&k: &usize| copies.dx[k]).sum());
    assert_close(&g.dx, &summed);
}

#[test]
fn what_weight_0_hides_spoils_nothing_but_itself() {
    let view = view(1, 2, 4);
    let mut x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 9.0];
    let dy = [1.0f32, 0.5, -1.0, 2.0, 0.25, 3.0, 1.0, -1.0];
    let mask = [1.0, 0.5, 0.0, 2.0];
    let p = Parameters::default();
    let sound = |x: &[f32], outside| {
        let weights = of(&view, &mask, outside);
        let (y, batch) = weighted_train_forward(&view, x, p, EPS, &weights).unwrap();
        let g = weighted_backward(&view, x, &dy, None, EPS, &weights).unwrap();
        (y, batch, g)
    };
    let (y, batch, g) = sound(&x, Outside::Normalize);
    // There dx is dy times the scale.
    assert_relative_eq!(g.dx[2], -batch.inv_std(EPS)[0]);
    x[2] = f32::NAN;
    let (bad_y, bad_batch, bad_g) = sound(&x, Outside::Normalize);
    assert_eq!(bad_batch, batch);
    let finite = bad_y.iter().filter(|v| v.is_finite()).count();
    assert!(bad_y[2].is_nan() && finite == 7);
    assert!(bad_g.dweight[0].is_nan() && bad_g.dbias == g.dbias);
    assert_eq!(bad_y[4..], y[4..]);
    let (zero_y, _, zero_g) = sound(&x, Outside::Zero);
    assert_eq!((zero_y[2], zero_g.dx[2]), (0.0, 0.0));
    assert!(zero_y.iter().chain(&zero_g.dx).all(|v| v.is_finite()));
    // A value that counts spoils its channel, but no padding.
    x[0] = f32::INFINITY;
    let (y, batch, g) = sound(&x, Outside::Zero);
    for values in [&y, &g.dx] {
        let nan: Vec<bool> = values.iter().map(|v| v.is_nan()).collect();
        assert_eq!(nan[..5], [true, true, false, true, false]);
        assert_eq!(values[2], 0.0);
    }
    assert!(!batch.is_finite(0) && batch.is_finite(1) && g.dweight[0].is_nan());
}

#[test]
fn weights_of_nothing_and_of_one_value_move_nothing() {
    let view = view(1, 2, 3);
    let (x, dy) = ([1.0, 2.0, 4.0, 3.0, 5.0, 8.0], [1.0f32; 6]);
    let old = RunningStatistics::new(2).unwrap();
    let mut update = unbiased();
    update.non_finite = NonFinite::Propagate;
    for outside in MODES {
        for (w, biased_counts) in [([0.0; 3], 0), ([0.0, 0.25, 0.5], 1)] {
            let weights = of(&view, &w, outside);
            let batch = weighted_moments(&view, &x, &weights).unwrap();
            let moved = |update| weighted_update_running(&old, &batch, &weights, update).unwrap();
            let (new, batches) = moved(update);
            assert_eq!((new.variance, batches), (vec![1.0; 2], vec![0; 2]));
            let biased = running(Momentum::new(0.1), RunningVariance::Biased);
            assert_eq!(moved(biased).1, [biased_counts; 2]);
        }
        let nothing = of(&view, &[0.0; 3], outside);
        let p = Parameters::default();
        let (y, batch) = weighted_train_forward(&view, &x, p, EPS, &nothing).unwrap();
        let g = weighted_backward(&view, &x, &dy, None, EPS, &nothing).unwrap();
        assert!(batch.mean.iter().chain(&batch.variance).all(|v| v.is_nan()));
        let results = || y.iter().chain(&g.dx).chain(&g.dweight);
        match outside {
            Outside::Zero => {
                assert!(results().chain(&g.dbias).all(|&v| v == 0.0));
            }
            Outside::Normalize => {
                assert!(results().all(|v| v.is_nan()));
                assert_eq!(g.dbias, [3.0; 2]);
            }
        }
    }
}

#[test]
fn a_weight_that_is_none_leaves_no_statistics() {
    let view = view(1, 2, 3);
    let x = [1.0, 2.0, 4.0, 3.0, 5.0, 8.0];
    let old = RunningStatistics::new(2).unwrap();
    for bad in [-1.0, f32::NAN, f32::INFINITY] {
        let w = [1.0, bad, 0.0];
        let weights = of(&view, &w, Outside::Zero);
        let p = Parameters::default();
        let (y, batch) = weighted_train_forward(&view, &x, p, EPS, &weights).unwrap();
        assert!(batch.mean.iter().chain(&batch.variance).all(|v| v.is_nan()));
        let nan: Vec<bool> = y.iter().map(|v| v.is_nan()).collect();
        assert_eq!(nan, [true, true, false, true, true, false]);
        let (_, batches) = weighted_update_running(&old, &batch, &weights, unbiased()).unwrap();
        assert_eq!(batches, [0; 2]);
    }
}
