//! The accuracy table, row by row: ordinary and ill-conditioned data of every kind, both
//! patterns, gradients that vary and gradients that do not, and ten million values in a channel.

use wgpu_batchnorm::internals::plan::Tuning;
use wgpu_batchnorm::{Config, RunningStatistics};

use testkit::case::Case;
use testkit::data::Kind;
use testkit::gpu::{GpuEngine, gpu};
use testkit::log::skipped;
use testkit::outcome::{Cpu, Engine, Outcome, judge};

/// The table: what, and its bound as a share of the scale that the judge knows.
const TABLE: [(&str, f64); 10] = [
    ("y", 5e-7),
    ("batch_mean", 5e-7),
    // The mean as two f32, over the reach of x about it.
    ("offset", 5e-7),
    ("batch_var", 5e-7),
    ("inv_std", 5e-7),
    ("running_mean", 5e-7),
    ("running_var", 5e-7),
    ("dx", 1e-6),
    ("dweight", 1e-6),
    ("dbias", 1e-6),
];

fn implementations() -> Vec<Box<dyn Engine>> {
    let gpu = gpu();
    vec![
        Box::new(GpuEngine::new(&gpu, "cpu adapter", Tuning::CPU_ADAPTER)),
        Box::new(GpuEngine::new(&gpu, "gpu", Tuning::DISCRETE)),
        Box::new(Cpu),
    ]
}

/// The rows that `outcome` misses.
fn misses(case: &Case, outcome: &Outcome) -> Vec<String> {
    let mut misses = Vec::new();
    for finding in judge(case, outcome).findings {
        if finding.tensor == "batches" {
            assert_eq!(finding.error, 0.0, "{finding}");
            continue;
        }
        let row = TABLE.iter().find(|(tensor, _)| *tensor == finding.tensor);
        let &(_, bound) = row.unwrap_or_else(|| panic!("{} has no row", finding.tensor));
        if finding.error.is_nan() || finding.error > bound {
            misses.push(finding.to_string());
        }
    }
    misses
}

/// Every implementation on every case, the cases each with two kinds of `dy`.
fn assert_accurate(implementations: &[Box<dyn Engine>], cases: impl Iterator<Item = Case>) {
    let mut failures = Vec::new();
    for case in cases {
        let constant = vec![0.1; case.dy.len()];
        for (dy, case) in [
            ("", case.clone()),
            (", constant dy", case.with_dy(constant)),
        ] {
            for implementation in implementations {
                let misses = misses(&case, &implementation.run(&case));
                let name = format!("{}: {}{dy}", implementation.name(), case.name);
                failures.extend(misses.into_iter().map(|miss| format!("{name}: {miss}")));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_kind_of_data_planar() {
    let cases = Kind::ALL.map(|kind| Case::new(&[5, 9, 37, 31], Config::pytorch(), kind, 21));
    assert_accurate(&implementations(), cases.into_iter());
}

#[test]
fn every_kind_of_data_interleaved() {
    let config = Config::pytorch().with_axis(-1);
    let cases = Kind::ALL.map(|kind| Case::new(&[5, 37, 31, 9], config, kind, 22));
    assert_accurate(&implementations(), cases.into_iter());
}

#[test]
fn every_kind_of_data_in_short_runs_of_many_channels() {
    let config = Config::keras();
    let planar = Kind::ALL.map(|kind| Case::new(&[9, 70, 7, 7], config.with_axis(1), kind, 23));
    let interleaved = Kind::ALL.map(|kind| Case::new(&[441, 70], config, kind, 24));
    assert_accurate(&implementations(), planar.into_iter().chain(interleaved));
}

/// Whether the adapter has numbers below the smallest normal one; WGSL lets it flush them to zero.
fn has_subnormals() -> bool {
    let mut case = Case::new(&[2, 1], Config::pytorch(), Kind::ALL[0], 1);
    case.x.fill(1e-30);
    case.weight = Some(vec![1e-10]);
    case.bias = Some(vec![0.0]);
    case.running = Some(RunningStatistics::from_parts(vec![0.0], vec![1.0], vec![0]).unwrap());
    let gpu = GpuEngine::new(&gpu(), "subnormal", Tuning::CPU_ADAPTER);
    gpu.run(&case).frozen.unwrap().y[0] != 0.0
}

#[test]
fn values_as_small_and_as_large_as_their_squares_allow() {
    let mut smallest = 1e-17;
    if !has_subnormals() {
        skipped("values of 1e-17, many squares of which this adapter flushes to zero");
        smallest = 1e-16;
    }
    for (std, eps) in [
        (smallest, f32::MIN_POSITIVE),
        (1e-10, 1e-20),
        (1e10, 1e-5),
        (1e17, 1.0),
    ] {
        let kind = Kind::Normal { mean: 0.0, std };
        let config = Config::pytorch().without_running().with_eps(eps);
        let cases = [(&[2, 3, 31, 67][..], 1), (&[62, 67, 3], -1)]
            .map(|(shape, axis)| Case::new(shape, config.with_axis(axis), kind, 27));
        assert_accurate(&implementations(), cases.into_iter());
    }
}

#[test]
fn hot_pixels_where_the_pivot_was() {
    // Five samples are spread over a channel, and two of them may be far off: the pivot stays
    // among the other values.
    let gpu = gpu();
    for tuning in [Tuning::CPU_ADAPTER, Tuning::DISCRETE] {
        let implementation = GpuEngine::new(&gpu, "hot", tuning);
        for (shape, axis) in [(&[2, 3, 67, 61][..], 1), (&[134, 61, 3], -1)] {
            let config = Config::pytorch().with_axis(axis).without_running();
            let mut case = Case::new(shape, config, Kind::ALL[0], 26);
            for hot in 1..=2 {
                let pivots = implementation.run(&case).saved.pivot;
                for (c, pivot) in pivots.into_iter().enumerate() {
                    let mut indices = case.view.runs(c).flatten();
                    let at = indices.find(|&i| case.x[i] == pivot).unwrap();
                    case.x[at] = 1e6;
                }
                let outcome = implementation.run(&case);
                let misses = misses(&case, &outcome);
                assert!(misses.is_empty(), "{hot} hot pixels: {}", misses.join("\n"));
                assert!(outcome.saved.pivot.iter().all(|&pivot| pivot != 1e6));
            }
        }
    }
}

#[test]
fn a_hot_first_value_of_a_channel() {
    // Registers that hold a channel find its mean about its first value, which may be far from all others. The shapes
    // are held by values, by fours of a run and by fours of channels, and the last is not held.
    let shapes = [
        (&[2, 3, 15, 17][..], 1),
        (&[2, 3, 16, 18], 1),
        (&[510, 8], -1),
        (&[134, 61, 3], -1),
    ];
    let cases = shapes.map(|(shape, axis)| {
        let config = Config::pytorch().with_axis(axis).without_running();
        let mut case = Case::new(shape, config, Kind::ALL[0], 28);
        for c in 0..case.view.channels() {
            let first = case.view.runs(c).flatten().next().unwrap();
            case.x[first] = 1e6;
        }
        case
    });
    assert_accurate(&implementations(), cases.into_iter());
}

const LARGE_MEAN: Kind = Kind::Normal {
    mean: 1e4,
    std: 1.0,
};
const EQUAL: Kind = Kind::Constant;
const ONE_CHANNEL: [usize; 3] = [1, 1, 10_000_000];
const THREE_CHANNELS: [usize; 2] = [3_300_000, 3];

fn assert_accurate_at_length(shape: &[usize], kind: Kind, constant_dy: bool) {
    let mut case = Case::new(shape, Config::pytorch(), kind, 25);
    if constant_dy {
        case.dy.fill(0.1);
    }
    for implementation in implementations() {
        let misses = misses(&case, &implementation.run(&case));
        let name = format!("{}: {}", implementation.name(), case.name);
        assert!(misses.is_empty(), "{name}:\n{}", misses.join("\n"));
        // Frozen statistics with the first of them only: the judge takes seconds.
        case.config = case.config.without_running();
        case.running = None;
    }
}

#[test]
fn ten_million_values_in_one_channel() {
    assert_accurate_at_length(&ONE_CHANNEL, LARGE_MEAN, false);
}

#[test]
fn ten_million_equal_values_in_one_channel() {
    assert_accurate_at_length(&ONE_CHANNEL, EQUAL, true);
}

#[test]
fn ten_million_values_in_three_interleaved_channels() {
    assert_accurate_at_length(&THREE_CHANNELS, LARGE_MEAN, true);
}

#[test]
fn ten_million_equal_values_in_three_interleaved_channels() {
    assert_accurate_at_length(&THREE_CHANNELS, EQUAL, false);
}
