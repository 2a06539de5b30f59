//! Random shapes, options and data through every operation, against the reference.
//!
//! 256 cases a test, the same in every run, so that a failure comes from the change it meets.
//! `WGBN_PROPTEST_CASES` draws so many new ones. A case that fails shrinks, and its seed is kept in
//! `random/regressions`, to be tried first from then on.

mod axes;
mod data;
mod steps;

use std::fmt::Debug;

use proptest::prelude::*;
use proptest::test_runner::{
    FileFailurePersistence, RngSeed, TestCaseResult, TestError, TestRunner,
};
use wgpu_batchnorm::Element;

/// Few values, many values, and lengths that no team's width divides.
fn shapes() -> impl Strategy<Value = Vec<usize>> {
    let len = prop_oneof![3 => 1..8usize, 1 => 8..40usize];
    let shape = proptest::collection::vec(len, 2..=5);
    shape.prop_filter("small", |shape| shape.iter().product::<usize>() < 100_000)
}

fn elements() -> impl Strategy<Value = Element> {
    prop_oneof![3 => Just(Element::F32), 1 => Just(Element::F16), 1 => Just(Element::Bf16)]
}

/// From 1e-10 to 1.
fn eps() -> impl Strategy<Value = f32> {
    (-10.0..0.0f64).prop_map(|exponent| 10f64.powf(exponent) as f32)
}

/// Runs `test` on as many cases as are asked for; `regressions` is where failures are kept.
fn run<S>(regressions: &'static str, cases: S, test: impl Fn(S::Value) -> TestCaseResult)
where
    S: Strategy,
    S::Value: Debug,
{
    let wanted = std::env::var("WGBN_PROPTEST_CASES").ok();
    let wanted = wanted.map(|n| n.parse().expect("WGBN_PROPTEST_CASES is a number"));
    let mut runner = TestRunner::new(ProptestConfig {
        cases: wanted.unwrap_or(256),
        rng_seed: match wanted {
            Some(_) => RngSeed::Random,
            None => RngSeed::Fixed(0),
        },
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(regressions))),
        ..ProptestConfig::default()
    });
    match runner.run(&cases, test) {
        Ok(()) => {}
        Err(TestError::Fail(reason, case)) => panic!("{reason}\n{case:#?}"),
        Err(e) => panic!("{e}"),
    }
}
