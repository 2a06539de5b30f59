//! A device simulated in f32, with the pivot it should have and with wrong ones. The truth is the judge's
//! own, from the inputs.

use super::*;
use crate::reference::epilogue::{activate, slope};

/// What the device takes for pivot and offset.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mean {
    /// The median of five values, and what is left.
    Pair,
    /// The mean rounded to f32, and what is left.
    Rounded,
    /// The value furthest from the mean, and what is left.
    HotPixel,
    /// The mean rounded to f32, nothing besides.
    OneF32,
    /// The median of five values, nothing besides.
    NoOffset,
}

const RIGHT: [Mean; 2] = [Mean::Pair, Mean::Rounded];

/// One channel.
struct Batch {
    x: Vec<f32>,
    dy: Vec<f32>,
    residual: Option<Vec<f32>>,
    weight: f32,
    bias: f32,
    activation: Activation,
}

const EPS: f32 = 1e-5;

/// Deterministic values, about standard normal.
fn normals(len: usize, mut seed: u64) -> Vec<f32> {
    let mut uniform = || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 40) as f64 / f64::from(1 << 24)
    };
    let sum_of_twelve = |_| ((0..12).map(|_| uniform()).sum::<f64>() - 6.0) as f32;
    (0..len).map(sum_of_twelve).collect()
}

/// Pairwise, in f32.
fn sum(values: &[f32]) -> f32 {
    match values {
        [] => 0.0,
        [value] => *value,
        _ => {
            let (a, b) = values.split_at(values.len() / 2);
            sum(a) + sum(b)
        }
    }
}

impl Batch {
    fn new(x: Vec<f32>, activation: Activation) -> Self {
        Self {
            dy: normals(x.len(), 2).iter().map(|v| v + 0.5).collect(),
            x,
            residual: None,
            weight: 1.0,
            bias: 0.25,
            activation,
        }
    }

    /// Ordinary values, one of them 1e6.
    fn hot(activation: Activation) -> Self {
        let mut x = normals(4096, 1);
        x[1365] = 1e6;
        Self::new(x, activation)
    }

    /// With the bias that puts most values near z = 0.
    fn at_the_kink(mut self) -> Self {
        let median = f64::from(self.median());
        let batch = reference::moments(&self.view(), &self.x).unwrap();
        self.bias = ((batch.mean[0] - median) * batch.inv_std(EPS)[0]) as f32 * self.weight;
        self
    }

    fn view(&self) -> View {
        View::of_lengths(self.x.len(), 1, 1)
    }

    fn input<'a>(&'a self, weight: &'a [f32], bias: &'a [f32]) -> Input<'a> {
        Input {
            view: self.view(),
            x: &self.x,
            parameters: Parameters {
                weight: Some(weight),
                bias: Some(bias),
            },
            eps: EPS,
            epilogue: Epilogue {
                element: Element::F32,
                activation: self.activation,
                residual: self.residual.as_deref(),
            },
            weights: None,
            sub_batches: None,
        }
    }

    /// As in `pivot.wgsl`.
    fn median(&self) -> f32 {
        let last = self.x.len() - 1;
        let mut samples = [0.090_169_9, 0.236_068, 0.472_136, 0.618_034, 0.854_102]
            .map(|fraction: f32| self.x[((last as f32 * fraction) as usize).min(last)]);
        samples.sort_by(f32::total_cmp);
        samples[2]
    }

    fn saved(&self, mean: Mean) -> SavedStatistics {
        let true_mean = reference::moments(&self.view(), &self.x).unwrap().mean[0];
        let furthest = |a: &f32, b: &f32| {
            let distance = |v: &f32| (f64::from(*v) - true_mean).abs();
            distance(a).total_cmp(&distance(b))
        };
        let pivot = match mean {
            Mean::Pair | Mean::NoOffset => self.median(),
            Mean::Rounded | Mean::OneF32 => true_mean as f32,
            Mean::HotPixel => self.x.iter().copied().max_by(furthest).unwrap(),
        };
        let m = self.x.len() as f32;
        let shifted: Vec<f32> = self.x.iter().map(|x| x - pivot).collect();
        let found = sum(&shifted) / m;
        let squares: Vec<f32> = shifted.iter().map(|x| (x - found) * (x - found)).collect();
        let variance = sum(&squares) / m;
        let offset = match mean {
            Mean::OneF32 | Mean::NoOffset => 0.0,
            _ => found,
        };
        SavedStatistics {
            pivot: vec![pivot],
            offset: vec![offset],
            inv_std: vec![1.0 / (variance + EPS).sqrt()],
            batch_mean: vec![pivot + offset],
            batch_var: vec![variance],
        }
    }

    /// Every finding on what such a device makes of the batch.
    fn judge(&self, mean: Mean) -> Report {
        let saved = self.saved(mean);
        let (pivot, offset, inv_std) = (saved.pivot[0], saved.offset[0], saved.inv_std[0]);
        let m = self.x.len() as f32;
        let scale = inv_std * self.weight;
        let distance: Vec<f32> = self.x.iter().map(|x| (x - pivot) - offset).collect();
        let z = |i: usize| {
            let normalized = distance[i] * scale + self.bias;
            normalized + self.residual.as_ref().map_or(0.0, |r| r[i])
        };
        let all = 0..self.x.len();
        let y: Vec<f32> = all
            .clone()
            .map(|i| activate(self.activation, f64::from(z(i))) as f32)
            .collect();
        let dz: Vec<f32> = all
            .clone()
            .map(|i| self.dy[i] * slope(self.activation, f64::from(z(i))) as f32)
            .collect();
        let terms: Vec<f32> = all
            .clone()
            .map(|i| dz[i] * (distance[i] * inv_std))
            .collect();
        let (dbias, dweight) = (sum(&dz), sum(&terms));
        let dx = |i: usize| {
            let xhat = distance[i] * inv_std;
            ((dz[i] - dbias / m) - xhat * (dweight / m)) * scale
        };
        let gradients = HostGradients {
            dx: all.map(dx).collect(),
            dweight: vec![dweight],
            dbias: vec![dbias],
        };
        let (weight, bias) = ([self.weight], [self.bias]);
        let input = self.input(&weight, &bias);
        let result = TrainResult {
            y: &y,
            saved: &saved,
            running: None,
        };
        let mut findings = train_forward(&input, &result).unwrap().findings;
        findings.extend(
            backward(&input, &self.dy, &gradients, None)
                .unwrap()
                .findings,
        );
        findings.extend(dresidual(&input, &self.dy, None, &dz).unwrap().findings);
        Report { findings }
    }

    fn assert_right_passes(&self, what: &str) {
        for mean in RIGHT {
            let report = self.judge(mean);
            assert!(report.passed(), "{what}, {mean:?}: {:?}", report.worst());
        }
    }
}

/// The error of a tensor over its bound.
fn ratio(report: &Report, tensor: &str) -> f64 {
    let finding = report.findings.iter().find(|f| f.tensor == tensor);
    let finding = finding.unwrap();
    finding.error / finding.bound
}

const ACTIVATIONS: [Activation; 6] = [
    Activation::Relu,
    Activation::LeakyRelu(0.1),
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Silu,
    Activation::Gelu,
];

/// About 1e4, a standard deviation of 1.
fn far(activation: Activation) -> Batch {
    let x = normals(4096, 1).iter().map(|v| 1e4 + v).collect();
    Batch::new(x, activation)
}

#[test]
fn with_a_pivot_at_the_hot_pixel_gradients_fail() {
    for activation in ACTIVATIONS {
        let batch = Batch::hot(activation);
        batch.assert_right_passes("one hot pixel");
        let wrong = batch.judge(Mean::HotPixel);
        for tensor in ["dweight", "dx"] {
            let times = ratio(&wrong, tensor);
            assert!(times > 3.0, "{activation:?}: {tensor} {times}");
        }
    }
}

#[test]
fn with_a_pivot_at_the_hot_pixel_values_near_a_kink_are_on_the_wrong_side() {
    for activation in [Activation::Relu, Activation::LeakyRelu(0.1)] {
        let batch = Batch::hot(activation).at_the_kink();
        batch.assert_right_passes("one hot pixel, the others at the kink");
        let wrong = batch.judge(Mean::HotPixel);
        for tensor in ["dweight", "dbias", "dx", "dresidual"] {
            let times = ratio(&wrong, tensor);
            assert!(times > 3.0, "{activation:?}: {tensor} {times}");
        }
    }
}

#[test]
fn a_mean_that_is_one_f32_or_lost_its_offset_fails_everywhere() {
    for activation in ACTIVATIONS {
        far(activation).assert_right_passes("mean 1e4");
        for mean in [Mean::OneF32, Mean::NoOffset] {
            let wrong = far(activation).judge(mean);
            for tensor in ["y", "dweight", "dbias", "dx", "dresidual"] {
                let times = ratio(&wrong, tensor);
                assert!(times > 3.0, "{activation:?}, {mean:?}: {tensor} {times}");
            }
        }
        let wrong = Batch::hot(activation).judge(Mean::NoOffset);
        for tensor in ["y", "dweight", "dx"] {
            let times = ratio(&wrong, tensor);
            assert!(times > 3.0, "{activation:?}, hot: {tensor} {times}");
        }
    }
}

/// What `dweight` is granted, over Σ|dz·x̂|.
fn granted(batch: &Batch) -> f64 {
    let view = batch.view();
    let moments = reference::moments(&view, &batch.x).unwrap();
    let (weight, bias) = ([batch.weight], [batch.bias]);
    let upstream = Upstream::of(&batch.input(&weight, &bias), &batch.dy, &moments, true).unwrap();
    let inv_std = moments.inv_std(EPS)[0];
    let (mut granted, mut share) = (0.0, 0.0);
    for (i, &x) in batch.x.iter().enumerate() {
        let xhat = ((f64::from(x) - moments.mean[0]) * inv_std).abs();
        share += upstream.dz[i].abs() * xhat;
        granted += (upstream.size[i] + upstream.slack[i] / BACKWARD_BOUND) * xhat;
        granted += upstream.lost[i] / BACKWARD_BOUND;
    }
    granted / share
}

#[test]
fn beside_a_hot_pixel_no_more_than_twice_the_bound_is_added() {
    for activation in ACTIVATIONS {
        let times = granted(&Batch::hot(activation));
        assert!(times < 3.0, "{activation:?}: {times}");
    }
}

#[test]
fn whatever_comes_through_is_within_the_bounds() {
    for activation in ACTIVATIONS {
        for count in [2, 3, 4, 5, 6, 8, 12, 40, 400] {
            for seed in 0..40 {
                let x = normals(count, 77 + seed * 31);
                let x = x.iter().map(|v| 3.0 + 2.0 * v).collect();
                let mut batch = Batch::new(x, activation);
                batch.bias = -1.0 - (seed % 4) as f32;
                batch.residual = Some(normals(count, seed * 7 + 3));
                batch.assert_right_passes(&format!("{count} values, seed {seed}"));
            }
        }
    }
}

#[test]
fn one_value_near_the_mean_inherits_what_rounding_the_mean_leaves() {
    let mut beyond = 0;
    for seed in 0..50 {
        let mut x: Vec<f32> = normals(16, seed).iter().map(|v| 3.0 + 2.0 * v).collect();
        x[5] = x.iter().sum::<f32>() / 16.0 + 0.01;
        let mut batch = Batch::new(x, Activation::Relu);
        // All others are closed.
        let mut residual = vec![-100.0; 16];
        residual[5] = 10.0;
        batch.residual = Some(residual);
        batch.assert_right_passes("one open value");
        // With one open value Σ|dz·x̂| is |dweight|.
        let report = batch.judge(Mean::Pair);
        let dweight = report.findings.iter().find(|f| f.tensor == "dweight");
        let Finding { got, expected, .. } = *dweight.unwrap();
        let off = (f64::from(got) - expected).abs();
        beyond += usize::from(off > BACKWARD_BOUND * expected.abs());
    }
    assert!(beyond > 0, "the contract's own bound would do");
}
