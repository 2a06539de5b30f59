//! Normalization with given statistics, against the formula in f64.

use wgpu_batchnorm::check::FORWARD_BOUND;
use wgpu_batchnorm::checked;
use wgpu_batchnorm::error::{ConfigError, ShapeError};
use wgpu_batchnorm::functional::{AffineStep, DeviceMoments, Statistics, moments, normalize};
use wgpu_batchnorm::{Error, Gpu, Tensor};

use crate::support::{bits, normals, ordinary, read, upload, worst};
use testkit::axes::{groups, mean_and_variance};
use testkit::gpu::gpu;

const EPS: f32 = 1e-3;

/// Per statistic: mean, variance, scale, shift.
type Row = [f64; 4];

/// Asserts that `y` is `(x − mean)/√(variance + eps)·scale + shift`.
fn judge(what: &str, y: &Tensor, x: &[f32], groups: &[Vec<usize>], rows: &[Row]) {
    let mut expected = vec![0.0; x.len()];
    let mut scales = vec![0.0; x.len()];
    for (group, [mean, variance, scale, shift]) in groups.iter().zip(rows) {
        let normal =
            |i: usize| (f64::from(x[i]) - mean) / (variance + f64::from(EPS)).sqrt() * scale;
        let sizes = group.iter().map(|&i| normal(i).abs());
        let largest = sizes.fold(0.0, f64::max) + shift.abs();
        for &i in group {
            expected[i] = normal(i) + shift;
            scales[i] = largest;
        }
    }
    let error = worst(&read(y), &expected, |i| scales[i]);
    assert!(error <= FORWARD_BOUND, "{what}: {error:e}");
}

fn run<'a>(
    x: &Tensor,
    statistics: impl Into<Statistics<'a>>,
    scale: Option<&Tensor>,
    shift: Option<&Tensor>,
) -> Result<Tensor, Error> {
    let affine = AffineStep::default().with_scale(scale).with_shift(shift);
    let (y, report) = checked::normalize_blocking(x, statistics, affine, EPS)?;
    report.enforce()?;
    Ok(y)
}

#[test]
fn with_what_moments_gave() {
    let gpu = gpu();
    let shape = [5, 6, 20, 7];
    for (mean, std) in [(0.3, 1.5), (1e4, 1.0), (1e3, 1e-2)] {
        let x = normals(&shape, mean, std, 1);
        let tensor = upload(&gpu, &shape, &x);
        for axes in [
            &[0, 2, 3][..],
            &[0, 1, 2],
            &[2, 3],
            &[0, 2],
            &[1, 3],
            &[0, 1, 2, 3],
        ] {
            let groups = groups(&shape, axes);
            let moments = moments(&tensor, axes, false).unwrap();
            let k = groups.len();
            let (weights, biases) = (normals(&[k], 1.0, 0.5, 2), normals(&[k], 0.0, 1.0, 3));
            let flat = moments.shape();
            let (scale, shift) = (upload(&gpu, &flat, &weights), upload(&gpu, &flat, &biases));
            for (with_scale, with_shift) in
                [(true, true), (true, false), (false, true), (false, false)]
            {
                let rows: Vec<Row> = (0..k)
                    .map(|k| {
                        let (mean, variance) = mean_and_variance(&x, &groups[k]);
                        let weight = if with_scale { weights[k].into() } else { 1.0 };
                        let bias = if with_shift { biases[k].into() } else { 0.0 };
                        [mean, variance, weight, bias]
                    })
                    .collect();
                let scale = with_scale.then_some(&scale);
                let shift = with_shift.then_some(&shift);
                let y = run(&tensor, &moments, scale, shift).unwrap();
                judge(&format!("{mean:e} {axes:?}"), &y, &x, &groups, &rows);
            }
        }
    }
}

struct Plain {
    x: Vec<f32>,
    tensor: Tensor,
    /// Mean, variance, scale, shift.
    values: [Vec<f32>; 4],
}

impl Plain {
    fn new(gpu: &Gpu, shape: &[usize], statistics: usize) -> Self {
        let x = ordinary(shape, 4);
        let normal = |mean, std, seed| normals(&[statistics], mean, std, seed);
        Self {
            tensor: upload(gpu, shape, &x),
            x,
            values: [
                normal(0.3, 0.2, 5),
                normal(2.0, 0.1, 6),
                normal(1.0, 0.5, 7),
                normal(0.0, 1.0, 8),
            ],
        }
    }

    fn rows(&self) -> Vec<Row> {
        let [mean, variance, scale, shift] = &self.values;
        (0..mean.len())
            .map(|k| [mean[k], variance[k], scale[k], shift[k]].map(f64::from))
            .collect()
    }

    fn spread(&self, gpu: &Gpu, shape: &[usize]) -> [Tensor; 4] {
        self.values
            .each_ref()
            .map(|values| upload(gpu, shape, values))
    }
}

#[test]
fn plain_statistics_broadcast_as_in_numpy() {
    let gpu = gpu();
    for (shape, statistics, axes) in [
        // NHWC
        (&[2, 5, 4, 3][..], &[3][..], &[0, 1, 2][..]),
        (&[2, 5, 4, 3], &[1, 3], &[0, 1, 2]),
        (&[2, 5, 4, 3], &[1, 1, 1, 3], &[0, 1, 2]),
        // NCHW
        (&[2, 3, 5, 4], &[3, 1, 1], &[0, 2, 3]),
        (&[2, 3, 5, 4], &[1, 3, 1, 1], &[0, 2, 3]),
        // An instance, a layer, a pixel each.
        (&[2, 3, 5, 4], &[2, 3, 1, 1], &[2, 3]),
        (&[2, 3, 5, 4], &[2, 1, 1, 1], &[1, 2, 3]),
        (&[2, 3, 5, 4], &[5, 4], &[0, 1]),
        // Through strides.
        (&[2, 3, 5, 4], &[2, 1, 5, 1], &[1, 3]),
        (&[2, 3, 5, 4], &[3, 1, 4], &[0, 2]),
        // One for all, and one for each.
        (&[2, 3, 5, 4], &[], &[0, 1, 2, 3]),
        (&[2, 3, 5, 4], &[1, 1], &[0, 1, 2, 3]),
        (&[2, 3, 5, 4], &[2, 3, 5, 4], &[]),
        // Axes of length 1 are kept and reduced alike.
        (&[1, 3, 1, 4], &[1, 3, 1, 1], &[0, 2, 3]),
        (&[1, 3, 1, 4], &[3, 1, 1], &[0, 2, 3]),
    ] {
        let groups = groups(shape, axes);
        let plain = Plain::new(&gpu, shape, groups.len());
        let [mean, variance, scale, shift] = plain.spread(&gpu, statistics);
        let what = format!("{statistics:?} over {shape:?}");
        let given = (&mean, &variance);
        let y = run(&plain.tensor, given, Some(&scale), Some(&shift)).unwrap();
        judge(&what, &y, &plain.x, &groups, &plain.rows());

        let mut rows = plain.rows();
        rows.iter_mut().for_each(|row| row[3] = 0.0);
        let y = run(&plain.tensor, given, Some(&scale), None).unwrap();
        judge(&what, &y, &plain.x, &groups, &rows);
        rows.iter_mut().for_each(|row| row[2] = 1.0);
        let y = run(&plain.tensor, given, None, None).unwrap();
        judge(&what, &y, &plain.x, &groups, &rows);
    }
}

/// Scale and shift may be written in any shape that varies along the mean's axes.
#[test]
fn scale_and_offset_in_their_own_shapes() {
    let gpu = gpu();
    for shape in [
        [2, 3, 5, 4],
        [1, 3, 5, 4],
        [2, 3, 1, 4],
        [2, 3, 1, 1],
        [1, 3, 1, 1],
    ] {
        let groups = groups(&shape, &[0, 2, 3]);
        let plain = Plain::new(&gpu, &shape, 3);
        let [mean, variance, ..] = plain.spread(&gpu, &[1, 3, 1, 1]);
        for of_affine in [&[3, 1, 1][..], &[1, 3, 1, 1]] {
            let [.., scale, shift] = plain.spread(&gpu, of_affine);
            let what = format!("{of_affine:?} over {shape:?}");
            let y = run(
                &plain.tensor,
                (&mean, &variance),
                Some(&scale),
                Some(&shift),
            );
            let y = y.unwrap_or_else(|e| panic!("{what}: {e}"));
            judge(&what, &y, &plain.x, &groups, &plain.rows());
            for keep_dims in [false, true] {
                let moments = moments(&plain.tensor, &[0, 2, 3], keep_dims).unwrap();
                let y = run(&plain.tensor, &moments, Some(&scale), Some(&shift));
                y.unwrap_or_else(|e| panic!("{what}: {e}"));
            }
        }
    }
}

/// A negative variance is none: its channel is NaN, the others are not.
#[test]
fn a_negative_variance_is_nan() {
    let gpu = gpu();
    let shape = [4, 3, 5];
    let plain = Plain::new(&gpu, &shape, 3);
    let [mean, variance, ..] = plain.spread(&gpu, &[3, 1]);
    let clean = read(&run(&plain.tensor, (&mean, &variance), None, None).unwrap());
    variance
        .write(&[plain.values[1][0], -1.0, plain.values[1][2]])
        .unwrap();
    let y = read(&run(&plain.tensor, (&mean, &variance), None, None).unwrap());
    for (i, (y, clean)) in y.iter().zip(clean).enumerate() {
        match i / 5 % 3 {
            1 => assert!(y.is_nan(), "{i}"),
            _ => assert_eq!(y.to_bits(), clean.to_bits(), "{i}"),
        }
    }
}

#[test]
fn moments_of_another_tensor_of_this_shape() {
    let gpu = gpu();
    let shape = [4, 3, 5];
    let (a, b) = (ordinary(&shape, 9), ordinary(&shape, 10));
    let of_a = moments(&upload(&gpu, &shape, &a), &[0, 2], true).unwrap();
    let y = run(&upload(&gpu, &shape, &b), &of_a, None, None).unwrap();
    let groups = groups(&shape, &[0, 2]);
    let rows: Vec<Row> = groups
        .iter()
        .map(|group| {
            let (mean, variance) = mean_and_variance(&a, group);
            [mean, variance, 1.0, 0.0]
        })
        .collect();
    judge("another tensor's", &y, &b, &groups, &rows);
}

#[test]
fn refusals_leave_the_device_well() {
    let gpu = gpu();
    let shape = [2, 3, 5, 4];
    let plain = Plain::new(&gpu, &shape, 3);
    let x = &plain.tensor;
    let [mean, variance, scale, _] = plain.spread(&gpu, &[3, 1, 1]);
    let good = || {
        bits(&read(
            &run(x, (&mean, &variance), Some(&scale), None).unwrap(),
        ))
    };
    let before = good();
    let empty = |shape: &[usize]| Tensor::empty(&gpu, shape).unwrap();

    for wrong in [&[3][..], &[2, 1, 1], &[1, 1, 3, 1, 1], &[6], &[5, 1, 1]] {
        let wrong = empty(wrong);
        let refused = run(x, (&wrong, &wrong), None, None);
        assert_refused!(
            refused,
            Error::Shape(ShapeError::Broadcast { tensor: "mean", .. })
        );
    }
    for wrong in [&[3][..], &[1, 3, 1, 1], &[4]] {
        let refused = run(x, (&mean, &empty(wrong)), None, None);
        assert_refused!(
            refused,
            Error::Shape(ShapeError::Mismatch {
                tensor: "variance",
                ..
            })
        );
    }
    let scaled = |affine: &Tensor| run(x, (&mean, &variance), Some(affine), None);
    assert_refused!(
        scaled(&empty(&[5, 1])),
        Error::Shape(ShapeError::Mismatch {
            tensor: "scale",
            ..
        })
    );
    assert_refused!(
        scaled(&empty(&[1])),
        Error::Shape(ShapeError::Mismatch {
            tensor: "scale",
            ..
        })
    );
    assert_refused!(
        scaled(&empty(&[7])),
        Error::Shape(ShapeError::Broadcast {
            tensor: "scale",
            ..
        })
    );
    let shifted = run(x, (&mean, &variance), None, Some(&empty(&[2, 1, 1, 1])));
    assert_refused!(
        shifted,
        Error::Shape(ShapeError::Mismatch {
            tensor: "shift",
            ..
        })
    );
    for eps in [f32::NAN, f32::INFINITY, -1e-6] {
        let refused = normalize(x, (&mean, &variance), AffineStep::default(), eps);
        assert_refused!(refused, Error::Config(ConfigError::Eps { .. }));
    }
    for (shape, axes) in [
        (&[2, 4, 5, 4][..], &[0isize, 2, 3][..]),
        (&[2, 3, 5], &[0, 2]),
        (&[2, 3, 5, 5], &[0, 2]),
    ] {
        let other: DeviceMoments = moments(&empty(shape), axes, false).unwrap();
        let refused = run(x, &other, None, None);
        assert_refused!(
            refused,
            Error::Shape(ShapeError::Broadcast {
                tensor: "moments",
                ..
            })
        );
    }
    assert_eq!(good(), before);
}

#[test]
fn axes_that_alternate_too_often() {
    let gpu = gpu();
    let shape = [2; 18];
    let x = upload(&gpu, &shape, &ordinary(&shape, 11));
    let every_second = |rank| -> Vec<usize> { (0..rank).map(|k| 2 - k % 2).collect() };
    let mean = Tensor::empty(&gpu, &every_second(18)).unwrap();
    let refused = run(&x, (&mean, &mean), None, None);
    assert_refused!(
        refused,
        Error::Shape(ShapeError::Alternations { got: 18, .. })
    );
    let mean = Tensor::empty(&gpu, &every_second(16)).unwrap();
    let refused = run(&x, (&mean, &mean), None, None);
    assert_refused!(
        refused,
        Error::Shape(ShapeError::Alternations { got: 17, .. })
    );
    let mean = Tensor::empty(&gpu, &every_second(15)).unwrap();
    run(&x, (&mean, &mean), None, None).unwrap();
}
