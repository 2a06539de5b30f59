//! Weights of values, and where the weight of each value lies.

use crate::error::{ConfigError, ShapeError};
use crate::shape::{batch_len, check_len, resolve_axis};

/// What becomes of values whose weight is 0. None of them is in the statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Outside {
    /// They are normalized as the others are, and have gradients: statistics of a region.
    #[default]
    Normalize,
    /// They are padding: `y`, `dx` and `dresidual` are 0 there. What `x`, `dy` and the residual hold there is not looked
    /// at, and no sum has it.
    Zero,
}

/// Weights of a tensor's values, on the host.
///
/// The statistics of a channel are μ = Σwx/W and σ² = Σw(x−μ)²/W, where W = Σw. Weights of 1 and 0 are a mask. They are
/// f32, finite and not negative, and their shape is 1 on the channel axis, so that they are the same for each channel:
/// for `x` of shape `[N, C, H, W]`, `[N, 1, H, W]`, `[N, 1, 1, 1]` and `[1, 1, H, W]`, for example. As in NumPy's
/// broadcasting, shapes are aligned from the right.
///
/// ```
/// use wgpu_batchnorm::{Outside, Weights};
///
/// // Two sequences of 3 channels, of 4 steps and of 2.
/// let mask = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0];
/// let weights = Weights::new(&mask, &[2, 1, 4], &[2, 3, 4], 1, Outside::Zero)?;
/// assert_eq!(weights.sum(), 6.0);
/// # Ok::<_, wgpu_batchnorm::error::ShapeError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    values: &'a [f32],
    places: Broadcast,
    outside: Outside,
}

impl<'a> Weights<'a> {
    /// Weights of this shape, row-major, for a tensor of shape `x` with this channel axis; a negative one counts from the
    /// end.
    ///
    /// # Errors
    /// Shapes that do not fit; another number of values than the shape has.
    pub fn new(
        values: &'a [f32],
        shape: &[usize],
        x: &[usize],
        axis: isize,
        outside: Outside,
    ) -> Result<Self, ShapeError> {
        let axis = resolve_axis(x, axis)?;
        let places = Broadcast::new(x, |k| k == axis, shape)?;
        check_len("weights", values.len(), places.len)?;
        Ok(Self {
            values,
            places,
            outside,
        })
    }

    /// Weights that lie where `places` says.
    pub(crate) fn at(values: &'a [f32], places: Broadcast, outside: Outside) -> Self {
        Self {
            values,
            places,
            outside,
        }
    }

    /// What becomes of values whose weight is 0.
    pub fn outside(&self) -> Outside {
        self.outside
    }

    /// W: the sum of the weights of each channel's values.
    pub fn sum(&self) -> f64 {
        let sum: f64 = self.values.iter().map(|&w| f64::from(w)).sum();
        sum * self.places.times as f64
    }

    /// Refuses a weight that is negative or not finite.
    ///
    /// # Errors
    /// The first such weight.
    pub fn validate(&self) -> Result<(), ConfigError> {
        match self.first_invalid() {
            Some((index, got)) => Err(ConfigError::Weight { index, got }),
            None => Ok(()),
        }
    }

    /// The first weight that is negative or not finite, and its index.
    pub(crate) fn first_invalid(&self) -> Option<(usize, f32)> {
        let mut values = self.values.iter().copied().enumerate();
        values.find(|(_, w)| !(0.0..f32::INFINITY).contains(w))
    }

    /// The weight of the value at `index` of `x` in memory order.
    #[cfg(any(feature = "cpu", feature = "reference"))]
    pub(crate) fn of(&self, index: usize) -> f32 {
        self.values[self.places.index(index)]
    }

    /// Whether the value at `index` is padding.
    #[cfg(any(feature = "cpu", feature = "reference"))]
    pub(crate) fn is_padding(&self, index: usize) -> bool {
        self.outside == Outside::Zero && self.of(index) == 0.0
    }

    /// Whether all are 1.
    #[cfg(feature = "cpu")]
    pub(crate) fn are_ones(&self) -> bool {
        self.values.iter().all(|&w| w == 1.0)
    }

    /// Refuses weights that are of a tensor of another length.
    #[cfg(any(feature = "cpu", feature = "reference"))]
    pub(crate) fn check(&self, x: usize) -> Result<(), ShapeError> {
        check_len("x of the weights", self.places.x_len, x)
    }
}

/// Axes of a broadcast after joining, at most.
pub(crate) const MAX_AXES: usize = 6;

/// An axis, or neighbours that were joined: how long it is, and how far from one entry to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BroadcastAxis {
    pub(crate) len: usize,
    pub(crate) stride: usize,
    /// In the weights; 0 where they do not vary.
    pub(crate) step: usize,
}

/// Where the weight of each element of a tensor lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broadcast {
    /// Slowest first; what is behind the last along which weights vary is left out.
    axes: [BroadcastAxis; MAX_AXES],
    used: usize,
    /// Weights there are.
    pub(crate) len: usize,
    /// Elements there are.
    pub(crate) x_len: usize,
    /// How many values of a channel have the same weight, where each weight has as many.
    times: usize,
}

impl Broadcast {
    /// One weight for all values.
    pub(crate) const SAME: Self = Self {
        axes: [BroadcastAxis {
            len: 0,
            stride: 0,
            step: 0,
        }; MAX_AXES],
        used: 0,
        len: 1,
        x_len: 0,
        times: 0,
    };

    /// Weights of shape `weights` over `x`; axes that are `kept` are those of the channels, along which they do not vary.
    pub(crate) fn new(
        x: &[usize],
        kept: impl Fn(usize) -> bool,
        weights: &[usize],
    ) -> Result<Self, ShapeError> {
        let x_len = batch_len(x)?;
        let refused = || ShapeError::Weights {
            got: weights.to_vec(),
            x: x.to_vec(),
        };
        let missing = x.len().checked_sub(weights.len()).ok_or_else(refused)?;
        let (mut stride, mut step, mut times) = (1, 1, 1);
        let mut joined: Vec<BroadcastAxis> = Vec::new();
        for k in (0..x.len()).rev() {
            let own = k.checked_sub(missing).map_or(1, |k| weights[k]);
            if own != 1 && (own != x[k] || kept(k)) {
                return Err(refused());
            }
            let varies = own > 1;
            if own == 1 && !kept(k) {
                times *= x[k];
            }
            let axis = BroadcastAxis {
                len: x[k],
                stride,
                step: if varies { step } else { 0 },
            };
            stride *= x[k];
            step *= own;
            match joined.last_mut() {
                _ if axis.len == 1 => {}
                Some(faster) if faster.step * faster.len == axis.step => faster.len *= axis.len,
                // Nothing varies along what is faster than the first.
                None if !varies => {}
                _ => joined.push(axis),
            }
        }
        if joined.len() > MAX_AXES {
            return Err(ShapeError::WeightAxes {
                got: weights.to_vec(),
                x: x.to_vec(),
                limit: MAX_AXES,
            });
        }
        let mut axes = [BroadcastAxis::default(); MAX_AXES];
        axes.iter_mut()
            .zip(joined.iter().rev())
            .for_each(|(a, b)| *a = *b);
        Ok(Self {
            axes,
            used: joined.len(),
            len: step,
            x_len,
            times,
        })
    }

    /// Its axes, slowest first.
    pub(crate) fn axes(&self) -> &[BroadcastAxis] {
        &self.axes[..self.used]
    }

    /// From the weight of each of four neighbours in memory to the next, where the first of them is a multiple of four and
    /// one step serves for all.
    pub(crate) fn step_of_four(&self) -> Option<usize> {
        match self.axes().last() {
            None => Some(0),
            Some(axis) if axis.stride == 1 => axis.len.is_multiple_of(4).then_some(axis.step),
            Some(axis) => axis.stride.is_multiple_of(4).then_some(0),
        }
    }

    /// Where the weight of element `index` lies.
    #[cfg(any(test, feature = "cpu", feature = "reference"))]
    pub(crate) fn index(&self, index: usize) -> usize {
        let mut rest = index;
        let mut found = 0;
        for axis in self.axes() {
            found += rest / axis.stride * axis.step;
            rest %= axis.stride;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As NumPy would index it, axis by axis.
    fn plain(x: &[usize], weights: &[usize], index: usize) -> usize {
        let missing = x.len() - weights.len();
        let (mut rest, mut found, mut step) = (index, 0, 1);
        for k in (0..x.len()).rev() {
            let own = if k < missing { 1 } else { weights[k - missing] };
            found += if own > 1 { rest % x[k] * step } else { 0 };
            step *= own;
            rest /= x[k];
        }
        found
    }

    #[test]
    fn weights_lie_where_numpy_would_find_them() {
        let x = [2, 3, 4, 6];
        let shapes: [(&[usize], usize); 9] = [
            (&[2, 1, 4, 6], 3),
            (&[2, 1, 1, 1], 1),
            (&[1, 1, 4, 6], 2),
            (&[4, 6], 2),
            (&[4, 1], 2),
            (&[6], 2),
            (&[2, 1, 1, 6], 3),
            (&[2, 1, 4, 1], 3),
            (&[], 0),
        ];
        for (shape, axes) in shapes {
            let places = Broadcast::new(&x, |k| k == 1, shape).unwrap();
            assert_eq!(places.axes().len(), axes, "{shape:?}: {places:?}");
            for i in 0..144 {
                assert_eq!(places.index(i), plain(&x, shape, i), "{shape:?} {i}");
            }
            for i in (0..144).step_by(4) {
                let Some(step) = places.step_of_four() else {
                    continue;
                };
                let four = (0..4).map(|k| places.index(i + k));
                let stepped = (0..4).map(|k| places.index(i) + k * step);
                assert!(four.eq(stepped), "{shape:?} {i}");
            }
            let ones = vec![1.0; places.len];
            let weights = Weights::new(&ones, shape, &x, 1, Outside::Zero).unwrap();
            assert_eq!(weights.sum(), 48.0, "{shape:?}");
        }
        // Channels last, and an axis of length 1 that weights have as well.
        for (x, shape) in [
            ([5, 4, 3], [5, 4, 1]),
            ([5, 1, 3], [5, 1, 1]),
            ([1, 4, 3], [1, 4, 1]),
        ] {
            let places = Broadcast::new(&x, |k| k == 2, &shape).unwrap();
            assert_eq!(places.axes().len(), 1);
            for i in 0..x.iter().product() {
                assert_eq!(places.index(i), plain(&x, &shape, i), "{x:?} {shape:?} {i}");
            }
        }
    }

    #[test]
    fn weights_that_do_not_fit_are_refused() {
        let new = |shape: &[usize], values: usize| {
            Weights::new(&vec![1.0; values], shape, &[2, 3, 4], 1, Outside::Zero).map(|_| ())
        };
        for shape in [&[2, 3, 4][..], &[2, 1, 5], &[1, 2, 1, 4], &[3, 1], &[2]] {
            let said = new(shape, shape.iter().product()).unwrap_err().to_string();
            assert!(said.contains(&format!("{shape:?}")), "{said}");
        }
        assert!(new(&[2, 1, 4], 7).is_err());
        assert!(new(&[2, 1, 4], 8).is_ok());
    }

    #[test]
    fn weights_that_alternate_too_often_are_refused() {
        let shape = |varied: usize| -> Vec<usize> {
            (0..8)
                .map(|k| if k % 2 == varied { 2 } else { 1 })
                .collect()
        };
        let new = |weights: &[usize]| Broadcast::new(&[2; 8], |_| false, weights);
        // Seven groups are left where the last does not vary, and eight where it does.
        for varied in [0, 1] {
            let said = new(&shape(varied)).unwrap_err().to_string();
            assert!(said.contains("at most 6"), "{said}");
        }
        assert!(new(&[2, 1, 2, 1, 2, 1, 1, 1]).is_ok());
    }

    #[test]
    fn weights_that_are_none_are_found() {
        for (w, valid) in [
            (0.0, true),
            (-0.0, true),
            (f32::MAX, true),
            (1e-45, true),
            (-1e-45, false),
            (f32::NAN, false),
            (f32::INFINITY, false),
        ] {
            let values = [1.0, w];
            let weights = Weights::new(&values, &[2, 1], &[2, 3], 1, Outside::Normalize).unwrap();
            let found = weights.first_invalid();
            assert_eq!(found.is_none(), valid, "{w}");
            assert_eq!(found.map_or(1, |(k, _)| k), 1);
        }
    }
}
