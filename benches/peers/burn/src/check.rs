//! The results in f64, and how far Burn's are from them.
//!
//! Errors are over the size of the terms that a result is made of, per channel,
//! as in this project's own checks.

/// `BatchNormConfig`'s default.
const EPS: f64 = 1e-5;

/// The layer's values a channel, none of them a special one.
pub struct Channels {
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
    pub mean: Vec<f32>,
    pub variance: Vec<f32>,
}

impl Channels {
    pub fn new(count: usize) -> Self {
        let spread = |low: f32, high: f32, step: usize| {
            let value = |c: usize| low + (high - low) * ((c * step) % 101) as f32 / 100.0;
            (0..count).map(value).collect()
        };
        Self {
            weight: spread(0.5, 1.5, 37),
            bias: spread(-1.0, 1.0, 53),
            mean: spread(-0.5, 0.5, 71),
            variance: spread(0.5, 2.0, 89),
        }
    }
}

/// An input, seen as (outer, channels, inner).
pub struct Data<'a> {
    x: &'a [f32],
    channels: &'a Channels,
    count: usize,
    inner: usize,
}

/// What a result is computed from, a value a channel.
pub struct Truth {
    mean: Vec<f64>,
    inv_std: Vec<f64>,
}

pub struct Gradients {
    pub dx: Vec<f32>,
    pub dweight: Vec<f32>,
    pub dbias: Vec<f32>,
}

impl Truth {
    pub fn training(data: &Data) -> Self {
        let mut truth = Self {
            mean: Vec::new(),
            inv_std: Vec::new(),
        };
        for c in 0..data.count {
            let values = || data.positions(c).map(|i| f64::from(data.x[i]));
            let n = values().count() as f64;
            let mean = values().sum::<f64>() / n;
            let variance = values().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
            truth.mean.push(mean);
            truth.inv_std.push(1.0 / (variance + EPS).sqrt());
        }
        truth
    }

    pub fn inference(data: &Data) -> Self {
        let inv_std = |&v: &f32| 1.0 / (f64::from(v) + EPS).sqrt();
        Self {
            mean: data.channels.mean.iter().copied().map(f64::from).collect(),
            inv_std: data.channels.variance.iter().map(inv_std).collect(),
        }
    }
}

impl<'a> Data<'a> {
    pub fn new(shape: &[usize], x: &'a [f32], channels: &'a Channels) -> Self {
        Self {
            x,
            channels,
            count: shape[1],
            inner: shape[2..].iter().product(),
        }
    }

    /// Where the channel's values lie.
    fn positions(&self, channel: usize) -> impl Iterator<Item = usize> + '_ {
        let starts = (channel * self.inner..self.x.len()).step_by(self.count * self.inner);
        starts.flat_map(|start| start..start + self.inner)
    }

    fn xhat(&self, truth: &Truth, channel: usize, position: usize) -> f64 {
        (f64::from(self.x[position]) - truth.mean[channel]) * truth.inv_std[channel]
    }

    pub fn error_of_y(&self, truth: &Truth, y: &[f32]) -> f64 {
        let mut worst = 0.0;
        for c in 0..self.count {
            let (weight, bias) = (
                f64::from(self.channels.weight[c]),
                f64::from(self.channels.bias[c]),
            );
            let (mut error, mut scale) = (0.0, 0.0);
            for i in self.positions(c) {
                let scaled = self.xhat(truth, c, i) * weight;
                error = larger(error, (f64::from(y[i]) - (scaled + bias)).abs());
                scale = larger(scale, scaled.abs());
            }
            worst = larger(worst, error / (scale + bias.abs()));
        }
        worst
    }

    pub fn error_of_gradients(&self, truth: &Truth, dy: &[f32], got: &Gradients) -> f64 {
        let mut worst = 0.0;
        for c in 0..self.count {
            let terms = || {
                self.positions(c)
                    .map(|i| (f64::from(dy[i]), self.xhat(truth, c, i)))
            };
            let n = terms().count() as f64;
            let dbias: f64 = terms().map(|(g, _)| g).sum();
            let dweight: f64 = terms().map(|(g, xhat)| g * xhat).sum();
            let factor = f64::from(self.channels.weight[c]) * truth.inv_std[c];
            let (mut error, mut scale) = (0.0, 0.0);
            for (i, (g, xhat)) in self.positions(c).zip(terms()) {
                let dx = factor * (g - dbias / n - xhat * dweight / n);
                error = larger(error, (f64::from(got.dx[i]) - dx).abs());
                scale = larger(scale, dx.abs());
            }
            worst = larger(worst, error / scale);
            let of_bias: f64 = terms().map(|(g, _)| g.abs()).sum();
            worst = larger(worst, (f64::from(got.dbias[c]) - dbias).abs() / of_bias);
            let of_weight: f64 = terms().map(|(g, xhat)| (g * xhat).abs()).sum();
            worst = larger(
                worst,
                (f64::from(got.dweight[c]) - dweight).abs() / of_weight,
            );
        }
        worst
    }
}

/// Unlike `f64::max`, keeps NaN.
fn larger(a: f64, b: f64) -> f64 {
    if a >= b || a.is_nan() { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: [f32; 8] = [1.0, 2.0, 5.0, 7.0, 3.0, 0.0, -1.0, 4.0];

    #[test]
    fn a_wrong_or_missing_value_shows() {
        let channels = Channels::new(2);
        let data = Data::new(&[2, 2, 2], &X, &channels);
        assert_eq!(data.positions(1).collect::<Vec<_>>(), [2, 3, 6, 7]);
        let truth = Truth::training(&data);
        let mut y: Vec<f32> = vec![0.0; 8];
        for c in 0..2 {
            for i in data.positions(c) {
                let scaled = data.xhat(&truth, c, i) * f64::from(channels.weight[c]);
                y[i] = (scaled + f64::from(channels.bias[c])) as f32;
            }
        }
        assert!(data.error_of_y(&truth, &y) < 1e-6);
        y[3] += 0.1;
        assert!(data.error_of_y(&truth, &y) > 1e-2);
        y[3] = f32::NAN;
        assert!(data.error_of_y(&truth, &y).is_nan());
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let channels = Channels::new(2);
        let dy = [0.5, -1.0, 2.0, 0.25, 1.5, -0.75, 0.0, 1.0];
        let loss = |x: &[f32]| -> f64 {
            let data = Data::new(&[2, 2, 2], x, &channels);
            let truth = Truth::training(&data);
            let term = |c: usize, i: usize| {
                f64::from(dy[i]) * data.xhat(&truth, c, i) * f64::from(channels.weight[c])
            };
            (0..2)
                .map(|c| data.positions(c).map(|i| term(c, i)).sum::<f64>())
                .sum()
        };
        let step = 1.0 / 256.0;
        let dx = (0..8).map(|i| {
            let moved = |by: f32| {
                let mut x = X;
                x[i] += by;
                loss(&x)
            };
            ((moved(step) - moved(-step)) / f64::from(2.0 * step)) as f32
        });
        let data = Data::new(&[2, 2, 2], &X, &channels);
        let truth = Truth::training(&data);
        let sum = |c: usize, f: &dyn Fn(usize) -> f64| data.positions(c).map(f).sum::<f64>() as f32;
        let got = Gradients {
            dx: dx.collect(),
            dweight: (0..2)
                .map(|c| sum(c, &|i| f64::from(dy[i]) * data.xhat(&truth, c, i)))
                .collect(),
            dbias: (0..2).map(|c| sum(c, &|i| f64::from(dy[i]))).collect(),
        };
        assert!(data.error_of_gradients(&truth, &dy, &got) < 1e-4);
        let wrong = Gradients {
            dx: vec![0.0; 8],
            ..got
        };
        assert!(data.error_of_gradients(&truth, &dy, &wrong) > 0.5);
    }
}
