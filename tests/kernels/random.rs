//! Random shapes, options and data. `WGBN_PROPTEST_CASES` asks for more than the usual few.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{TestError, TestRunner};
use wgpu_batchnorm::{Config, RunningVariance, View};

use crate::common::case::{Case, configs};
use crate::common::data::Kind;
use crate::common::gpu::{GpuImplementation, gpu};
use crate::common::outcome::{Cpu, Implementation, judge};

/// Few values, many values, and lengths that no team's width divides.
fn shapes() -> impl Strategy<Value = (Vec<usize>, isize)> {
    let len = prop_oneof![3 => 1..8usize, 1 => 8..40usize];
    let shape = proptest::collection::vec(len, 2..=5);
    let shape = shape.prop_filter("small", |shape| shape.iter().product::<usize>() < 100_000);
    shape.prop_flat_map(|shape| {
        let rank = shape.len() as isize;
        (Just(shape), -rank..rank)
    })
}

fn kinds() -> impl Strategy<Value = Kind> {
    let exponent = || -3.0..4.0;
    let scaled = (exponent(), exponent(), any::<bool>());
    let normal = scaled.prop_map(|(mean, std, negative)| {
        let sign = if negative { -1.0 } else { 1.0 };
        Kind::Normal {
            mean: sign * 10f64.powf(mean),
            std: 10f64.powf(std),
        }
    });
    prop_oneof![2 => normal, 1 => select(Kind::ALL.to_vec())]
}

fn cases() -> impl Strategy<Value = Case> {
    let options = (select(configs()), -6.0..0.0f64, any::<u64>());
    (shapes(), kinds(), options).prop_map(|((shape, axis), kind, (config, eps, seed))| {
        let mut config = config.with_axis(axis).with_eps(10f64.powf(eps) as f32);
        if View::new(&shape, axis).unwrap().count() == 1 {
            // One value per channel: only this can be trained.
            config.running = Config::pytorch().running;
            config = config.with_running_variance(RunningVariance::Biased);
        }
        Case::new(&shape, config, kind, seed)
    })
}

fn runner() -> TestRunner {
    let cases = std::env::var("WGBN_PROPTEST_CASES").ok();
    let cases = cases.map_or(32, |n| n.parse().expect("WGBN_PROPTEST_CASES is a number"));
    TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    })
}

#[test]
fn random_cases() {
    let implementations = GpuImplementation::all(&gpu());
    let turn = Cell::new(0);
    let result = runner().run(&cases(), |case| {
        // One way to cut the work per case, all in turn.
        turn.set(turn.get() + 1);
        let gpu = &implementations[turn.get() % implementations.len()];
        for implementation in [gpu as &dyn Implementation, &Cpu] {
            let report = judge(&case, &implementation.run(&case));
            let name = implementation.name();
            prop_assert!(report.passed(), "{}: {:?}", name, report.worst());
        }
        Ok(())
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, case)) => panic!("{}: {reason}", case.name),
        Err(e) => panic!("{e}"),
    }
}
