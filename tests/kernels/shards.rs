//! A batch in parts: moments and sums merged between the two halves, on the device or on the host,
//! give what one whole batch gives.

use wgpu_batchnorm::check::{Finding, Report};
use wgpu_batchnorm::error::{BindError, ConfigError};
use wgpu_batchnorm::internals::plan::Tuning;
use wgpu_batchnorm::internals::shaders::{Constants, Variant};
use wgpu_batchnorm::{
    Activation, Binding, Config, Context, Element, Error, Gpu, MomentsRows, SumsRows,
};

use super::buffers::run;
use testkit::agreement::{Saved, judge_others, pipeline_of};
use testkit::case::Case;
use testkit::data::Kind;
use testkit::gpu::{context, gpu, narrow};
use testkit::parts::{Batch, Merge, Part, Split};

/// Samples of each part; the axis of samples is the first.
const PARTS: [usize; 4] = [3, 1, 5, 2];

fn batch(case: &Case) -> Batch<'_> {
    Batch {
        shape: &case.shape,
        config: case.config,
        input: case.input(),
        dy: &case.dy,
        weights: case.weights.as_ref(),
        running: case.running.as_ref(),
    }
}

fn split<'a>(places: &'a [(&'a Gpu, &'a Context)], merge: Merge) -> Split<'a> {
    Split {
        places,
        samples: &PARTS,
        merge,
        in_place: false,
        run: &run,
    }
}

pub fn judged(gpu: &Gpu, context: &Context, case: &Case, merge: Merge) -> Report {
    let judged = split(&[(gpu, context)], merge).judged(&batch(case));
    judged.unwrap().0
}

fn assert_passed(report: &Report, what: &str) {
    assert!(report.passed(), "{what}: {:?}", report.worst());
}

#[test]
fn parts_give_what_the_whole_gives() {
    let gpu = gpu();
    let large_mean = Kind::Normal {
        mean: 1e4,
        std: 1.0,
    };
    let relu = Config::pytorch().with_activation(Activation::Relu);
    let half = Config::keras().with_axis(1).with_element(Element::F16);
    for tuning in [Tuning::CPU_ADAPTER, Tuning::DISCRETE] {
        let context = context(&gpu, tuning);
        for (shape, config, kind) in [
            (&[11, 5, 9, 16][..], Config::pytorch(), large_mean),
            (
                &[11, 31, 9, 12],
                Config::pytorch().with_axis(-1),
                large_mean,
            ),
            // Several columns a lane.
            (&[11, 13, 64], Config::pytorch().with_axis(-1), large_mean),
            // A part of one value per channel.
            (&[11, 64], Config::pytorch(), Kind::ALL[0]),
            (&[11, 3, 7, 7], relu, Kind::ALL[0]),
            (&[11, 3, 5, 5], half, Kind::ALL[0]),
        ] {
            let case = Case::new(shape, config, kind, 61);
            for merge in [Merge::Device, Merge::Host] {
                assert_passed(&judged(&gpu, &context, &case, merge), &case.name);
            }
        }
    }
}

/// The first moves running statistics and has the others' moments merged into its own.
#[test]
fn parts_without_samples_are_nothing_beside_the_others() {
    let gpu = gpu();
    for tuning in [Tuning::CPU_ADAPTER, Tuning::DISCRETE] {
        let context = context(&gpu, tuning);
        let places = [(&gpu, &context)];
        // A pivot far from the mean would show.
        let far = Kind::Normal {
            mean: 1e4,
            std: 1.0,
        };
        let far = Case::new(&[11, 5, 9, 16], Config::pytorch(), far, 64);
        for case in fused().iter().chain([&far]) {
            for merge in [Merge::Device, Merge::Host] {
                let split = Split {
                    samples: &[0, 3, 1, 0, 5, 2, 0],
                    ..split(&places, merge)
                };
                let (report, _) = split.judged(&batch(case)).unwrap();
                assert_passed(&report, &format!("{} {merge:?}", case.name));
            }
        }
    }
}

/// Whole, with a residual, and over x.
fn fused() -> [Case; 4] {
    let config = Config::pytorch();
    let silu = config.with_activation(Activation::Silu);
    let relu = config.with_activation(Activation::Relu).with_axis(-1);
    [
        Case::new(&[11, 5, 9, 16], config, Kind::ALL[0], 64),
        Case::new(&[11, 5, 9, 7], config, Kind::ALL[0], 65).with_residual(66),
        Case::new(&[11, 13, 9, 12], relu, Kind::ALL[0], 67).with_residual(68),
        // Two of its halves share a word where a piece ends.
        Case::new(
            &[11, 5, 19, 7],
            silu.with_element(Element::F16),
            Kind::ALL[0],
            69,
        )
        .with_residual(70),
    ]
}

#[test]
fn parts_with_a_residual_in_place_and_in_several_bindings() {
    let (wide, narrow) = (gpu(), narrow(4096));
    for gpu in [&wide, &narrow] {
        let places = [(gpu, gpu.context())];
        for case in &fused() {
            for merge in [Merge::Device, Merge::Host] {
                for in_place in [false, true] {
                    let split = Split {
                        in_place,
                        ..split(&places, merge)
                    };
                    let (report, _) = split.judged(&batch(case)).unwrap();
                    assert_passed(&report, &format!("{} {merge:?} {in_place}", case.name));
                }
            }
        }
    }
    let part = |k: usize| {
        Part::new(
            (&narrow, narrow.context()),
            &batch(&fused()[k]),
            3..8,
            false,
        )
    };
    for k in 0..4 {
        let pieces = part(k).unwrap().plan.schedule().pieces.len();
        assert!(pieces > 1, "case {k} has {pieces} pieces");
    }
}

#[test]
fn dozens_of_parts_are_one_batch() {
    let gpu = gpu();
    let places = [(&gpu, gpu.context())];
    for (parts, merge) in [(32, Merge::Device), (256, Merge::Host)] {
        let shape = [parts, 16, 3, 3];
        let ordinary = Case::new(&shape, Config::pytorch(), Kind::ALL[0], 71);
        // The same part again and again: roundings that all go one way.
        let mut repeated = ordinary.clone();
        for values in [&mut repeated.x, &mut repeated.dy] {
            let first = values[..16 * 9].to_vec();
            values
                .chunks_mut(16 * 9)
                .for_each(|part| part.copy_from_slice(&first));
        }
        for case in [ordinary, repeated] {
            let split = Split {
                samples: &vec![1; parts],
                ..split(&places, merge)
            };
            assert_passed(&split.judged(&batch(&case)).unwrap().0, &case.name);
        }
    }
}

#[test]
fn parts_on_two_devices_are_one_batch() {
    let devices = [gpu(), narrow(4096)];
    let places = [0, 1].map(|k: usize| (&devices[k], devices[k].context()));
    assert_ne!(devices[0].device(), devices[1].device());
    for case in &fused() {
        let (report, _) = split(&places, Merge::Host).judged(&batch(case)).unwrap();
        assert_passed(&report, &case.name);
    }
}

/// Parts are small or large, so that the planner gives them different variants.
#[test]
fn parts_of_different_pipelines_are_one_batch() {
    let gpu = gpu();
    let tuning = Tuning {
        resident_bytes: 2048,
        ..Tuning::CPU_ADAPTER
    };
    let context = context(&gpu, tuning);
    let config = Config::pytorch().with_axis(-1);
    let case = Case::new(&[11, 1024], config, Kind::ALL[0], 74);
    let pipeline = |len| {
        let part = Part::new((&gpu, &context), &batch(&case), 0..len, false).unwrap();
        let train = part.train(None, &part.rows(11.0)).unwrap();
        pipeline_of(&train).unwrap()
    };
    let mut pipelines = PARTS.map(pipeline);
    pipelines.sort_by_key(|(variant, _)| variant.columns);
    let changes = pipelines.windows(2).filter(|pair| pair[0] != pair[1]);
    assert_eq!(changes.count(), 1, "two pipelines: {pipelines:?}");
    for merge in [Merge::Device, Merge::Host] {
        let report = judged(&gpu, &context, &case, merge);
        assert_passed(&report, &case.name);
        // One part of each pipeline is compared with the reference.
        let judged = report.findings.iter().filter(|f| f.tensor == "inv_std");
        assert_eq!(judged.count(), 2);
    }
}

#[test]
fn one_pipeline_owes_the_same_bits_and_another_the_bounds() {
    let (first, second) = (gpu(), narrow(4096));
    // Any two of the list.
    let all = Variant::all();
    let pipeline = |k: usize| Some((all[k], Constants::default()));
    let said = |gpu, pipeline, rows: &[f32]| Saved {
        gpu,
        pipeline,
        rows: rows.to_vec(),
    };
    let close = 1.0 + f32::EPSILON;
    let finding = |tensor| Finding::new(tensor, 0, close, 1.0).with_error(0.5, 1.0);
    let judged = |rows: &[f32]| {
        assert_eq!(rows, [close]);
        Ok(Report::from(Vec::from(["y", "inv_std"].map(finding))))
    };
    let after = |other: Saved<'_>| {
        let all = [said(&first, pipeline(1), &[1.0]), other];
        let findings = judge_others(&all, judged).unwrap();
        findings
            .iter()
            .map(|f| (f.tensor, f.passed()))
            .collect::<Vec<_>>()
    };
    let wrong = ("saved of another part", false);
    assert_eq!(after(said(&first, pipeline(1), &[1.0])), []);
    assert_eq!(after(said(&first, pipeline(1), &[close])), [wrong]);
    let within = [("inv_std", true)];
    assert_eq!(after(said(&first, pipeline(2), &[close])), within);
    assert_eq!(after(said(&second, pipeline(1), &[close])), within);
    assert_eq!(after(said(&first, None, &[close])), within);
}

#[test]
fn a_channel_that_is_not_finite_in_one_part_is_so_in_all() {
    let gpu = gpu();
    let context = gpu.context();
    let mut case = Case::new(&[11, 5, 9, 16], Config::pytorch(), Kind::ALL[0], 62);
    let last = case.view.runs(3).last().unwrap().start;
    case.x[last] = f32::INFINITY;
    for merge in [Merge::Device, Merge::Host] {
        let report = judged(&gpu, context, &case, merge);
        assert!(report.passed(), "{:?}", report.worst());
    }
}

#[test]
fn what_does_not_fit_a_part_is_refused() {
    let gpu = gpu();
    let case = Case::new(&[11, 5, 4], Config::pytorch(), Kind::ALL[0], 63);
    let place = (&gpu, gpu.context());
    let part = |samples| Part::new(place, &batch(&case), samples, false).unwrap();
    let (part, other) = (part(0..3), part(3..4));
    let refused = |count: f64| {
        let train = part.train(None, &part.rows(count)).map(drop);
        let buffers = part.dx_from(&part.grads, count);
        let backward = part.plan.bind_backward(&buffers).map(drop);
        [train, backward.map_err(wgpu_batchnorm::Error::from)]
            .map(|result| result.map_err(|e| e.to_string()))
    };
    let own = part.count();
    assert!(refused(own).iter().all(Result::is_ok));
    for refused in refused(own - 1.0) {
        let error = refused.unwrap_err();
        assert!(error.contains(&format!("{}", own - 1.0)), "{error}");
        assert!(error.contains(&format!("at least {own}")), "{error}");
    }
    // Beyond 2^53 a float no longer holds every whole number.
    let most = 9_007_199_254_740_992.0;
    for count in [-4.0, 0.5, 12.5, 2.0 * most, f64::NAN, f64::INFINITY] {
        let refused = |bound: Result<_, BindError>| match bound.map(|_: Binding| ()) {
            Err(BindError::Config(ConfigError::CountOfValues { got })) => {
                assert_eq!(got.to_bits(), count.to_bits());
            }
            other => panic!("{count}: {other:?}"),
        };
        let moments = MomentsRows::new(part.moments.slice(), count);
        // Sums of weights merge as well.
        if count.fract() == 0.0 || count.is_nan() {
            refused(part.plan.bind_merge_moments(&moments, &other.rows(4.0)));
            refused(part.plan.bind_merge_moments(&other.rows(4.0), &moments));
        }
        let sums = SumsRows::new(part.grads.slice(), count);
        let buffers = part.dx_from(&part.grads, own).with_sums(sums);
        refused(part.plan.bind_backward(&buffers));
        match part.train(None, &moments) {
            Err(Error::Config(e)) => refused(Err(BindError::Config(e))),
            other => panic!("{count}: {other:?}"),
        }
    }
    let enough = MomentsRows::new(part.moments.slice(), most);
    assert!(part.train(None, &enough).is_ok());
}
