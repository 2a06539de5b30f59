mod simulated;

use super::judge::{judge_stored, widen};
use super::upstream::Upstream;
use super::*;
use crate::reference;
use crate::stats::{HostGradients, SavedStatistics};

/// Frozen backward over one channel of mean 0 and variance 1, with `spoil` free to change the results
/// that the f64 formulas give.
fn frozen(
    activation: Activation,
    x: &[f32],
    dy: &[f32],
    spoil: impl Fn(&mut HostGradients),
) -> Report {
    let input = Input {
        view: View::of_lengths(x.len(), 1, 1),
        x,
        parameters: Parameters::default(),
        eps: 1e-30,
        epilogue: Epilogue {
            activation,
            ..Epilogue::default()
        },
        weights: None,
        sub_batches: None,
    };
    let upstream = Upstream::of(&input, dy, &widen(&[0.0], &[1.0]), false).unwrap();
    let dx: Vec<f32> = upstream.dz.iter().map(|&v| v as f32).collect();
    let xhat = dx.iter().zip(x).map(|(dz, x)| dz * x);
    // A dweight that is not finite is NaN.
    let finite = |sum: f32| if sum.is_finite() { sum } else { f32::NAN };
    let mut result = HostGradients {
        dweight: vec![finite(xhat.sum())],
        dbias: vec![dx.iter().sum()],
        dx,
    };
    spoil(&mut result);
    backward_frozen(&input, dy, &[0.0], &[1.0], &result, None).unwrap()
}

#[test]
fn beside_an_infinite_gradient_the_others_are_judged() {
    let x = [0.5, -1.0, 2.0];
    let dy = [1.0, f32::INFINITY, 1.0];
    let judge = |spoil: &dyn Fn(&mut HostGradients)| frozen(Activation::None, &x, &dy, spoil);
    assert!(judge(&|_| {}).passed());
    assert!(!judge(&|g| g.dx[0] = 1.1).passed());
    assert!(!judge(&|g| g.dx[1] = 3.0).passed());
    assert!(!judge(&|g| g.dx[1] = f32::NAN).passed());
    assert!(!judge(&|g| g.dbias[0] = 3.0).passed());
}

#[test]
fn an_infinite_gradient_through_a_slope_lost_to_rounding_is_either() {
    let x = [0.5, 200.0, 2.0];
    let dy = [1.0, f32::INFINITY, 1.0];
    let judge = |spoil: &dyn Fn(&mut HostGradients)| frozen(Activation::Tanh, &x, &dy, spoil);
    assert!(judge(&|g| g.dx[1] = f32::INFINITY).passed());
    assert!(judge(&|g| g.dx[1] = f32::NAN).passed());
    assert!(!judge(&|g| g.dx[0] = 1.1).passed());
    assert!(!judge(&|g| g.dx[2] = f32::NAN).passed());
}

#[test]
fn what_was_never_written_fails_even_where_nan_is_right() {
    let judged = |got: f32, expected: f64| {
        let scale = |_| Some(1.0);
        judge_stored(
            "y",
            Element::F32,
            1e-6,
            &[1.0, got],
            &[1.0, expected],
            scale,
        )
    };
    assert!(judged(f32::NAN, f64::NAN).passed());
    for expected in [f64::NAN, 0.0, f64::INFINITY] {
        let finding = judged(POISON, expected);
        assert!(!finding.passed());
        assert_eq!(finding.to_string(), "y[1] was never written");
    }
    // Not even where nothing is certain.
    let nothing = |_| None;
    let finding = judge_stored("dx", Element::F32, 1e-6, &[POISON], &[0.0], nothing);
    assert!(!finding.passed());
    let unwritten = Finding::unwritten("moments", &[0.0, f32::NAN, POISON]);
    assert_eq!(unwritten.map(|finding| finding.index), Some(2));
    assert_eq!(Finding::unwritten("moments", &[0.0, f32::NAN]), None);
}

#[test]
fn inputs_are_compared_bit_for_bit() {
    let given = [0.0, 1.5, f32::NAN];
    assert_eq!(Finding::held("x", &given, &given), None);
    for held in [
        &[-0.0, 1.5, f32::NAN][..],
        &[0.0, 1.5000001, f32::NAN],
        &[0.0, 1.5, POISON],
        &[0.0, 1.5],
        &[],
    ] {
        let finding = Finding::held("x", held, &given).unwrap();
        assert!(!finding.passed(), "{held:?}");
    }
}

#[test]
fn slopes_that_underflow_may_be_zero() {
    // 4·exp(−90) is subnormal in f32.
    let (x, dy) = ([44.5, 45.0, 46.0], [1.0, 0.5, -1.0]);
    let judge = |spoil: &dyn Fn(&mut HostGradients)| frozen(Activation::Tanh, &x, &dy, spoil);
    let report = judge(&|g| {
        g.dx.fill(0.0);
        (g.dweight, g.dbias) = (vec![0.0], vec![0.0]);
    });
    assert!(report.passed(), "{:?}", report.worst());
    assert!(!judge(&|g| g.dx[0] = 1e-30).passed());
    assert!(!judge(&|g| g.dweight[0] = 1e-28).passed());
}

/// The sweep's cases 8x64x7x7 of bf16 behind silu, and constant channels of 512x128 behind gelu: the whole
/// channel lies where the activation is subnormal or nearly so, and lavapipe gives zero.
#[test]
fn outputs_that_underflow_may_be_zero() {
    let judged = |activation, x: f32, y: f32| {
        let x = [x; 2];
        let input = Input {
            view: View::of_lengths(2, 1, 1),
            x: &x,
            parameters: Parameters::default(),
            eps: 1e-30,
            epilogue: Epilogue {
                activation,
                ..Epilogue::default()
            },
            weights: None,
            sub_batches: None,
        };
        inference(&input, &[0.0], &[1.0], &[y; 2]).unwrap().passed()
    };
    for (activation, x) in [
        (Activation::Silu, -91.0),
        (Activation::Gelu, -13.1),
        (Activation::Sigmoid, -89.0),
    ] {
        assert!(judged(activation, x, 0.0), "{activation:?}");
        assert!(!judged(activation, x, 1e-35), "{activation:?}");
    }
    // What is not that small is held to its bound.
    assert!(!judged(Activation::Silu, -60.0, 0.0));
}

/// y of a hard sigmoid is near ½ however small z is, and f32 holds it no better than to 3e-8 there. A fault of 1e-6 shows.
#[test]
fn the_half_of_a_hard_sigmoid_rounds() {
    let x = [1e-3f32, -1e-3, 2e-3, -2e-3];
    let epilogue = Epilogue::default().with_activation(Activation::HardSigmoid);
    let view = View::of_lengths(4, 1, 1);
    let input = Input::new(view, &x, Parameters::default(), 0.0).with_epilogue(epilogue);
    let judged = |off: f32| {
        let y: Vec<f32> = x.iter().map(|x| (x + 3.0) / 6.0 + off).collect();
        inference(&input, &[0.0], &[1.0], &y).unwrap().passed()
    };
    assert!(judged(0.0) && judged(6e-8));
    assert!(!judged(1e-6));
}
