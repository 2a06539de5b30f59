//! Sub-batches: by hand, by finite differences, and as calls of their own.

use super::*;
use crate::sub_batches::SubBatches;

/// Sub-batches of `outer` by `inner` values of a view.
fn cut(view: &View, samples: usize) -> SubBatches {
    let (outer, channels, inner) = view.lengths();
    SubBatches::new(samples, &[outer, channels, inner], 1).unwrap()
}

#[test]
fn four_values_by_twos() {
    let view = view(4, 1, 1);
    let sub_batches = cut(&view, 2);
    let (x, p) = ([0.0, 2.0, 10.0, 14.0], Parameters::default());
    let (y, moments) = sub_batched_train_forward(&sub_batches, &x, p, EPS).unwrap();
    let eps = f64::from(EPS);
    let (one, two) = (1.0 / (1.0 + eps).sqrt(), 2.0 / (4.0 + eps).sqrt());
    for (y, expected) in y.iter().zip([-one, one, -two, two]) {
        assert_relative_eq!(*y, expected, max_relative = 1e-15);
    }
    assert_eq!(moments.mean, [1.0, 12.0]);
    assert_eq!(moments.variance, [1.0, 4.0]);
    let old = RunningStatistics::new(1).unwrap();
    let options = running(Momentum::new(0.25), RunningVariance::Unbiased);
    let (new, batches) = sub_batched_update_running(&old, &moments, &sub_batches, options).unwrap();
    assert_relative_eq!(new.mean[0], 0.75 * 0.25 + 0.25 * 12.0);
    assert_relative_eq!(new.variance[0], 0.75 * (0.75 + 0.25 * 2.0) + 0.25 * 8.0);
    assert_eq!(batches, [2]);
    let options = running(Momentum::Cumulative, RunningVariance::Biased);
    let (new, _) = sub_batched_update_running(&old, &moments, &sub_batches, options).unwrap();
    assert_relative_eq!(new.mean[0], 6.5);
    assert_relative_eq!(new.variance[0], 2.5);
}

/// A remainder has its own count in the unbiased variance.
#[test]
fn each_sub_batch_is_a_call_of_its_own() {
    for view in [view(5, 3, 4), view(7, 2, 1)] {
        let sub_batches = cut(&view, 3);
        let mut grid = Grid(21);
        let (x, dy) = (grid.take(view.len()), grid.take(view.len()));
        let (weight, bias) = (grid.take(view.channels()), grid.take(view.channels()));
        let p = Parameters::default()
            .with_weight(&weight[..])
            .with_bias(&bias[..]);
        let (y, moments) = sub_batched_train_forward(&sub_batches, &x, p, EPS).unwrap();
        let g = sub_batched_backward(&sub_batches, &x, &dy, p.weight, EPS).unwrap();
        let (mut dweight, mut dbias) = (vec![0.0; view.channels()], vec![0.0; view.channels()]);
        let channels = view.channels();
        for k in 0..sub_batches.count() {
            let (view, range) = (sub_batches.view(k), sub_batches.range(k));
            let (x, dy) = (&x[range.clone()], &dy[range.clone()]);
            let (own, batch) = train_forward(&view, x, p, EPS).unwrap();
            assert_eq!(y[range.clone()], own);
            assert_eq!(moments.mean[k * channels..][..channels], batch.mean);
            assert_eq!(moments.variance[k * channels..][..channels], batch.variance);
            let own = backward(&view, x, dy, p.weight, EPS).unwrap();
            assert_eq!(g.dx[range], own.dx);
            for c in 0..channels {
                dweight[c] += own.dweight[c];
                dbias[c] += own.dbias[c];
            }
        }
        assert_eq!((g.dweight, g.dbias), (dweight, dbias));
    }
}

#[test]
fn one_sub_batch_is_the_batch() {
    for view in views() {
        let mut grid = Grid(22);
        let (x, dy) = (grid.take(view.len()), grid.take(view.len()));
        let sub_batches = cut(&view, view.outer());
        let p = Parameters::default();
        let forward = sub_batched_train_forward(&sub_batches, &x, p, EPS).unwrap();
        assert_eq!(forward, train_forward(&view, &x, p, EPS).unwrap());
        let g = sub_batched_backward(&sub_batches, &x, &dy, None, EPS).unwrap();
        assert_eq!(g, backward(&view, &x, &dy, None, EPS).unwrap());
        let (old, options) = (
            RunningStatistics::new(view.channels()).unwrap(),
            running(Momentum::new(0.1), RunningVariance::Unbiased),
        );
        assert_eq!(
            sub_batched_update_running(&old, &forward.1, &sub_batches, options),
            update_running(&old, &forward.1, view.count(), options)
        );
    }
}

#[test]
fn gradients_through_sub_batches_are_slopes_of_the_loss() {
    for view in [view(5, 3, 4), view(7, 2, 1)] {
        let sub_batches = cut(&view, 2);
        let mut grid = Grid(23);
        let (x, dy) = (grid.take(view.len()), grid.take(view.len()));
        let (weight, bias) = (grid.take(view.channels()), grid.take(view.channels()));
        let run = |x: &[f32], weight: &[f32], bias: &[f32]| {
            let p = Parameters {
                weight: Some(weight),
                bias: Some(bias),
            };
            let (y, _) = sub_batched_train_forward(&sub_batches, x, p, EPS).unwrap();
            loss(&y, &dy)
        };
        let g = sub_batched_backward(&sub_batches, &x, &dy, Some(&weight), EPS).unwrap();
        assert_close(
            &g.dweight,
            &slopes(&weight, |weight| run(&x, weight, &bias)),
        );
        assert_close(&g.dbias, &slopes(&bias, |bias| run(&x, &weight, bias)));
        assert_close(&g.dx, &slopes(&x, |x| run(x, &weight, &bias)));
    }
}

#[test]
fn a_sub_batch_that_is_not_finite_is_alone() {
    let view = view(6, 2, 3);
    let sub_batches = cut(&view, 2);
    let mut grid = Grid(24);
    let (x, dy) = (grid.take(view.len()), grid.take(view.len()));
    let mut spoiled = x.clone();
    // Channel 1 of the second of three.
    spoiled[sub_batches.range(1).start + 4] = f32::NAN;
    let p = Parameters::default();
    let (y, _) = sub_batched_train_forward(&sub_batches, &x, p, EPS).unwrap();
    let (got, moments) = sub_batched_train_forward(&sub_batches, &spoiled, p, EPS).unwrap();
    let g = sub_batched_backward(&sub_batches, &x, &dy, None, EPS).unwrap();
    let got_g = sub_batched_backward(&sub_batches, &spoiled, &dy, None, EPS).unwrap();
    for i in 0..view.len() {
        let hit = sub_batches.range(1).contains(&i) && view.channel_of(i) == 1;
        assert_eq!(got[i].is_nan(), hit, "{i}");
        assert_eq!(got_g.dx[i].is_nan(), hit, "{i}");
        assert!(hit || (got[i] == y[i] && got_g.dx[i] == g.dx[i]), "{i}");
    }
    assert!(got_g.dweight[1].is_nan() && got_g.dweight[0] == g.dweight[0]);
    assert_eq!(got_g.dbias, g.dbias);

    // Skipped, it neither counts nor decays.
    let old = RunningStatistics::new(2).unwrap();
    for momentum in [Momentum::new(0.25), Momentum::Cumulative] {
        let mut options = running(momentum, RunningVariance::Biased);
        let (new, batches) =
            sub_batched_update_running(&old, &moments, &sub_batches, options).unwrap();
        assert_eq!(batches, [3, 2]);
        let (mean, first, last) = (&moments.mean, moments.mean[1], moments.mean[5]);
        let expected = match momentum {
            Momentum::Cumulative => (first + last) / 2.0,
            _ => 0.75 * 0.25 * first + 0.25 * last,
        };
        assert_relative_eq!(new.mean[1], expected, max_relative = 1e-12);
        assert!(mean[3].is_nan());
        options.non_finite = NonFinite::Propagate;
        let (new, batches) =
            sub_batched_update_running(&old, &moments, &sub_batches, options).unwrap();
        assert!(new.mean[1].is_nan() && new.mean[0].is_finite());
        assert_eq!(batches, [3, 3]);
    }
}

#[test]
fn statistics_of_other_sub_batches_are_refused() {
    let view = view(4, 2, 3);
    let moments = moments(&view, &Grid(25).take(view.len())).unwrap();
    let old = RunningStatistics::new(2).unwrap();
    let options = running(Momentum::new(0.1), RunningVariance::Biased);
    let refused = sub_batched_update_running(&old, &moments, &cut(&view, 2), options);
    let (tensor, got, expected) = ("mean", 2, 4);
    let error = ShapeError::Length {
        tensor,
        got,
        expected,
    };
    assert_eq!(refused, Err(error));
}
