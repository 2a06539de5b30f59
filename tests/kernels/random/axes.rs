//! Moments over any axes, and normalization with them or with plain statistics.

use proptest::prelude::*;
use proptest::sample;
use wgpu_batchnorm::check::{self, Report};
use wgpu_batchnorm::functional::{AffineStep, cpu_moments, moments, normalize};
use wgpu_batchnorm::{Element, Gpu, Moments, Parameters, Tensor, reference};

use super::data::{Data, data};
use super::{elements, eps, run, shapes};
use testkit::axes::{gather, groups};
use testkit::data::Random;
use testkit::gpu::gpu;

#[derive(Clone, Debug)]
struct Draw {
    shape: Vec<usize>,
    axes: Vec<isize>,
    keep_dims: bool,
    element: Element,
    data: Data,
    /// An element that is not finite.
    spoilt: Option<(sample::Index, f32)>,
    scale: bool,
    shift: bool,
    eps: f32,
    seed: u64,
}

fn draws() -> impl Strategy<Value = Draw> {
    let shape = shapes().prop_flat_map(|shape| {
        let rank = shape.len();
        (Just(shape), 0..1u32 << rank, any::<bool>())
    });
    let value = sample::select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
    let spoilt = proptest::option::weighted(0.2, (any::<sample::Index>(), value));
    let affine = (any::<bool>(), any::<bool>(), any::<bool>());
    let rest = (elements(), data(), spoilt, affine, eps(), any::<u64>());
    (shape, rest).prop_map(|((shape, set, negative), rest)| {
        let (element, data, spoilt, (keep_dims, scale, shift), eps, seed) = rest;
        let rank = shape.len() as isize;
        let axes = (0..rank).filter(|axis| set >> axis & 1 == 1);
        let axes = axes.map(|axis| if negative { axis - rank } else { axis });
        Draw {
            axes: axes.collect(),
            shape,
            keep_dims,
            element,
            data,
            // What is certain of subnormal data is that it stays finite.
            spoilt: spoilt.filter(|_| !matches!(data, Data::Subnormal)),
            scale,
            shift,
            eps,
            seed,
        }
    })
}

impl Draw {
    fn x(&self, groups: &[Vec<usize>]) -> Vec<f32> {
        let mut x = vec![0.0; self.shape.iter().product()];
        let random = &mut Random::new(self.seed);
        for (k, group) in groups.iter().enumerate() {
            let values = self.data.channel(random, self.element, k, group.len());
            group.iter().zip(values).for_each(|(&i, v)| x[i] = v);
        }
        if let Some((element, value)) = self.spoilt {
            let i = element.index(x.len());
            x[i] = value;
        }
        x
    }

    /// The shape of a statistic, the reduced axes as 1 or not at all.
    fn statistics_shape(&self, keep_dims: bool) -> Vec<usize> {
        let rank = self.shape.len() as isize;
        let reduced = |axis| self.axes.iter().any(|a| (a + rank) % rank == axis);
        let axes = (0..rank).filter(|&axis| keep_dims || !reduced(axis));
        axes.map(|axis| {
            if reduced(axis) {
                1
            } else {
                self.shape[axis as usize]
            }
        })
        .collect()
    }
}

#[test]
fn random_axes() {
    let gpu = gpu();
    let regressions = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/kernels/random/regressions/axes.txt"
    );
    run(regressions, draws(), |draw| {
        let groups = groups(&draw.shape, &draw.axes);
        let x = draw.x(&groups);
        for (what, report) in reports(&gpu, &draw, &groups, &x) {
            prop_assert!(report.passed(), "{what}: {}", report.worst().unwrap());
        }
        Ok(())
    });
}

fn reports(
    gpu: &Gpu,
    draw: &Draw,
    groups: &[Vec<usize>],
    x: &[f32],
) -> Vec<(&'static str, Report)> {
    let Draw { shape, axes, .. } = draw;
    let round = |v: Vec<f64>| -> Vec<f32> { v.into_iter().map(|v| v as f32).collect() };
    let judge_moments = |moments: &Moments| {
        let (mean, variance) = (round(moments.mean()), round(moments.variance()));
        check::moments_over(x, shape, axes, &mean, &variance).unwrap()
    };
    let (on_cpu, cpu_shape) = cpu_moments(x, shape, axes, draw.keep_dims).unwrap();
    assert_eq!(cpu_shape, draw.statistics_shape(draw.keep_dims));

    let tensor = Tensor::upload_as(gpu, shape, draw.element, x).unwrap();
    let moments = moments(&tensor, axes, draw.keep_dims).unwrap();
    assert_eq!(moments.shape(), cpu_shape);
    let on_device = moments.read_blocking().unwrap();

    let random = &mut Random::new(draw.seed ^ 1);
    let mut row = |there: bool, mean| there.then(|| random.normals(groups.len(), mean, 0.5));
    let (scale, shift) = (row(draw.scale, 1.0), row(draw.shift, 0.0));
    // Plain statistics are near the values, so that the results are ordinary numbers.
    let mean: Vec<f32> = groups.iter().map(|group| x[group[0]]).collect();
    let variance = row(true, 5.0)
        .unwrap()
        .iter()
        .map(|v| v.abs())
        .collect::<Vec<_>>();

    let rows = |keep_dims| {
        let shape = draw.statistics_shape(keep_dims);
        let upload = move |row: &Vec<f32>| Tensor::upload(gpu, &shape, row).unwrap();
        (
            scale.as_ref().map(&upload),
            shift.as_ref().map(&upload),
            upload,
        )
    };
    let normalized = |keep_dims, paired: bool| {
        let (scale, shift, upload) = rows(keep_dims);
        let affine = AffineStep::default()
            .with_scale(scale.as_ref())
            .with_shift(shift.as_ref());
        let y = match paired {
            true => normalize(&tensor, &moments, affine, draw.eps),
            false => {
                let plain = (&upload(&mean), &upload(&variance));
                normalize(&tensor, plain, affine, draw.eps)
            }
        };
        let y = y.unwrap().read_blocking().unwrap();
        gather(&y, groups).0
    };
    let (gathered, view) = gather(x, groups);
    let judge_normalized = |statistics: &reference::Moments, y: &[f32]| {
        let input = check::Input::new(
            view,
            &gathered,
            Parameters::default()
                .with_weight(scale.as_deref())
                .with_bias(shift.as_deref()),
            draw.eps,
        )
        .with_epilogue(check::Epilogue::default().with_element(draw.element));
        check::normalize(&input, statistics, y).unwrap()
    };
    let paired = normalized(draw.keep_dims, true);
    let plain = normalized(true, false);
    let given = reference::Moments::new(on_device.mean(), on_device.variance()).unwrap();
    let widen = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect();
    let plain_given = reference::Moments::new(widen(&mean), widen(&variance)).unwrap();
    let cpu = ("cpu moments", judge_moments(&on_cpu));
    if let Data::Subnormal = draw.data {
        let statistics = given.mean.iter().chain(&given.variance);
        assert!(
            statistics
                .chain(&widen(&[&paired[..], &plain].concat()))
                .all(|v| v.is_finite())
        );
        return vec![cpu];
    }
    vec![
        cpu,
        ("moments", judge_moments(&on_device)),
        ("normalized with moments", judge_normalized(&given, &paired)),
        (
            "normalized with plain statistics",
            judge_normalized(&plain_given, &plain),
        ),
    ]
}
