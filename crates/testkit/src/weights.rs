//! Weights on the host, and the shape that they have.

use wgpu_batchnorm::error::ShapeError;
use wgpu_batchnorm::{Outside, Weights};

/// Weights, and the shape that they have.
#[derive(Clone, Debug)]
pub struct HostWeights {
    pub values: Vec<f32>,
    pub shape: Vec<usize>,
    pub outside: Outside,
}

impl HostWeights {
    /// As the library takes them, for a tensor of shape `x` with this channel axis. A vector is one channel.
    pub fn of(&self, x: &[usize], axis: isize) -> Result<Weights<'_>, ShapeError> {
        let one = |shape: &[usize]| [shape, &[1]].concat();
        let (shape, x, axis) = match x.len() {
            1 => (one(&self.shape), one(x), 1),
            _ => (self.shape.clone(), x.to_vec(), axis),
        };
        Weights::new(&self.values, &shape, &x, axis, self.outside)
    }

    /// Those of some samples, along the first axis of a tensor of this rank.
    pub fn of_samples(&self, samples: std::ops::Range<usize>, rank: usize) -> Self {
        if self.shape.len() < rank || self.shape[0] == 1 {
            return self.clone();
        }
        let each = self.values.len() / self.shape[0];
        Self {
            values: self.values[samples.start * each..samples.end * each].to_vec(),
            shape: [&[samples.len()], &self.shape[1..]].concat(),
            outside: self.outside,
        }
    }

    /// The weight of each value of a tensor of shape `x`, axis by axis.
    pub fn spread(&self, x: &[usize]) -> Vec<f32> {
        let missing = x.len() - self.shape.len();
        let of = |index: usize| {
            let (mut rest, mut place, mut step) = (index, 0, 1);
            for k in (0..x.len()).rev() {
                let own = if k < missing {
                    1
                } else {
                    self.shape[k - missing]
                };
                place += if own > 1 { rest % x[k] * step } else { 0 };
                step *= own;
                rest /= x[k];
            }
            self.values[place]
        };
        (0..x.iter().product()).map(of).collect()
    }
}
