//! A folded layer against the two that it stands for, on random input.

use safetensors::tensor::Dtype;
use testkit::data::Random;
use wgpu_batchnorm::functional::{LinearWeight, Trained};

/// Both, in f64.
pub struct Check<'a, T> {
    pub trained: &'a Trained<'a>,
    pub layer: &'a LinearWeight<'a, T>,
    pub next: bool,
    pub before: (Vec<f64>, Option<Vec<f64>>),
    pub after: (Vec<f64>, Vec<f64>),
}

impl<T> Check<'_, T> {
    /// The worst output channel's error over what rounding each folded value once explains. Each value of the weight
    /// meets an input of its own: an output channel is one dot product.
    pub fn error(&self, dtype: Dtype) -> f64 {
        let outputs = self.after.1.len();
        let inputs = Random::new(0x5eed).normals(self.after.0.len(), 0.0, 1.0);
        let mut before = match &self.before.1 {
            Some(bias) => bias.clone(),
            None => vec![0.0; outputs],
        };
        let mut after = self.after.1.clone();
        // Half a unit in the last place of every folded value, times its input.
        let mut slack: Vec<_> = after.iter().map(|&v| half_unit(dtype, v)).collect();
        // What the sums in f64 may round.
        let mut size: Vec<_> = after.iter().map(|v| v.abs()).collect();
        for (k, u) in inputs.into_iter().map(f64::from).enumerate() {
            let (output, input) = self.channels(k);
            let seen = if self.next { self.norm(input, u) } else { u };
            before[output] += self.before.0[k] * seen;
            after[output] += self.after.0[k] * u;
            slack[output] += half_unit(dtype, self.after.0[k]) * u.abs();
            size[output] += (self.after.0[k] * u).abs() + (self.before.0[k] * seen).abs();
        }
        let errors = (0..outputs).map(|c| {
            let (expected, scale) = match self.next {
                true => (before[c], 1.0),
                false => (self.norm(c, before[c]), self.scale(c).abs()),
            };
            (after[c] - expected).abs() / (slack[c] + 1e-12 * (size[c] * (1.0 + scale) + 1e-30))
        });
        errors.fold(0.0, |worst, error| {
            if error > worst || error.is_nan() {
                error
            } else {
                worst
            }
        })
    }

    fn scale(&self, c: usize) -> f64 {
        let root = (f64::from(self.trained.variance[c]) + f64::from(self.trained.eps)).sqrt();
        f64::from(self.trained.parameters.weight(c)) / root
    }

    fn norm(&self, c: usize, z: f64) -> f64 {
        let centered = z - f64::from(self.trained.mean[c]);
        centered * self.scale(c) + f64::from(self.trained.parameters.bias(c))
    }

    /// The output and the input channel of a value of the weight.
    fn channels(&self, index: usize) -> (usize, usize) {
        let shape = self.layer.shape;
        let mut at = vec![0; shape.len()];
        let mut rest = index;
        for axis in (0..shape.len()).rev() {
            at[axis] = rest % shape[axis];
            rest /= shape[axis];
        }
        let axis = |axis: isize| axis.rem_euclid(shape.len() as isize) as usize;
        let (o, i) = (axis(self.layer.output_axis), axis(self.layer.input_axis));
        let groups = self.layer.groups;
        match self.layer.transposed {
            // Its group is told by the input, and its outputs are counted within the group.
            true => (at[i] * groups / shape[i] * shape[o] + at[o], at[i]),
            false => (at[o], at[o] * groups / shape[o] * shape[i] + at[i]),
        }
    }
}

/// Half the distance between neighbours at `value`.
fn half_unit(dtype: Dtype, value: f64) -> f64 {
    let (digits, least) = match dtype {
        Dtype::F16 => (11, 2f64.powi(-14)),
        Dtype::BF16 => (8, 2f64.powi(-126)),
        Dtype::F32 => (24, 2f64.powi(-126)),
        _ => (53, 2f64.powi(-1022)),
    };
    let binade = 2f64.powi(value.abs().max(least).log2().floor() as i32);
    0.5 * binade * 2f64.powi(1 - digits)
}
