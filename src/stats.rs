//! Per-channel statistics on the host, as the CPU path, the layer's state and checks hold them.

/// Running statistics of a layer: what inference uses.
#[derive(Clone, Debug, PartialEq)]
pub struct RunningStatistics {
    /// Running mean, `[C]`.
    pub mean: Vec<f32>,
    /// Running variance, `[C]`; biased or unbiased as the layer's option says.
    pub variance: Vec<f32>,
    /// Batches counted per channel, `[C]`: a channel skips the batches that were not finite.
    pub batches: Vec<u32>,
}

impl RunningStatistics {
    /// A new layer's: mean 0, variance 1, no batch counted.
    pub fn new(channels: usize) -> Self {
        Self {
            mean: vec![0.0; channels],
            variance: vec![1.0; channels],
            batches: vec![0; channels],
        }
    }
}

/// What training forward leaves for backward, per channel, read back to the host.
///
/// The batch mean is `pivot + offset`; `mean` is that sum rounded to one f32.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SavedStatistics {
    /// An f32 near the mean: a sample of the channel, or the mean rounded.
    pub pivot: Vec<f32>,
    /// Mean of `x − pivot`.
    pub offset: Vec<f32>,
    /// `1/√(batch_var + eps)`.
    pub inv_std: Vec<f32>,
    /// Batch mean as one f32.
    pub batch_mean: Vec<f32>,
    /// Batch variance, biased.
    pub batch_var: Vec<f32>,
}

/// Parameters of the affine step, `[C]` each; a missing weight is 1, a missing bias 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parameters<'a> {
    /// γ.
    pub weight: Option<&'a [f32]>,
    /// β.
    pub bias: Option<&'a [f32]>,
}

impl Parameters<'_> {
    /// The weight of channel `c`.
    pub fn weight(&self, c: usize) -> f32 {
        self.weight.map_or(1.0, |w| w[c])
    }

    /// The bias of channel `c`.
    pub fn bias(&self, c: usize) -> f32 {
        self.bias.map_or(0.0, |b| b[c])
    }
}

/// Gradients of one backward pass on the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostGradients {
    /// Gradient of the input, in its shape.
    pub dx: Vec<f32>,
    /// Gradient of the weight, `[C]`.
    pub dweight: Vec<f32>,
    /// Gradient of the bias, `[C]`.
    pub dbias: Vec<f32>,
}

/// Mergeable statistics of a batch, per channel.
///
/// The mean is `pivot + offset`, two f32 that keep what one would round away; `m2` is the sum of
/// squares about the mean. Moments of parts merge into the moments of the whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// Values per channel.
    pub count: u64,
    /// An f32 near the mean: a sample of the channel, or the mean rounded.
    pub pivot: Vec<f32>,
    /// Mean of `x − pivot`.
    pub offset: Vec<f32>,
    /// `Σ(x−μ)²`.
    pub m2: Vec<f32>,
}

impl Moments {
    /// From rows of pivot, offset and m2, `[3][C]`, as the device keeps them.
    ///
    /// # Panics
    /// Where the rows are not equally long.
    pub fn from_rows(count: u64, rows: &[f32]) -> Self {
        assert!(rows.len().is_multiple_of(3), "three rows of one length");
        let channels = rows.len() / 3;
        let row = |k: usize| rows[k * channels..(k + 1) * channels].to_vec();
        Self {
            count,
            pivot: row(0),
            offset: row(1),
            m2: row(2),
        }
    }

    /// Rows of pivot, offset and m2, `[3][C]`.
    pub fn rows(&self) -> Vec<f32> {
        [&self.pivot[..], &self.offset, &self.m2].concat()
    }

    /// The mean per channel, `pivot + offset`.
    pub fn mean(&self) -> Vec<f64> {
        let pairs = self.pivot.iter().zip(&self.offset);
        pairs.map(|(&p, &o)| f64::from(p) + f64::from(o)).collect()
    }

    /// The biased variance per channel, `m2/count`.
    pub fn variance(&self) -> Vec<f64> {
        let count = self.count as f64;
        self.m2.iter().map(|&m2| f64::from(m2) / count).collect()
    }

    /// The moments of both batches together, by Chan's formula; pivots stay this one's. What comes out
    /// is rounded to f32 rows: of many parts, see [`Moments::merge_all`].
    ///
    /// # Panics
    /// Where the channel counts differ, or 64 bits do not hold the sum of the counts.
    #[must_use]
    pub fn merge(&self, other: &Self) -> Self {
        assert_eq!(self.m2.len(), other.m2.len(), "channel counts differ");
        // An empty side leaves the other as it is, bit for bit.
        if other.count == 0 {
            return self.clone();
        }
        if self.count == 0 {
            return other.clone();
        }
        let (na, nb) = (self.count as f64, other.count as f64);
        let n = na + nb;
        let (mean_a, mean_b) = (self.mean(), other.mean());
        let mut merged = self.clone();
        let count = self.count.checked_add(other.count);
        merged.count = count.expect("the count of both fits 64 bits");
        for c in 0..self.m2.len() {
            let delta = mean_b[c] - mean_a[c];
            let m2 = f64::from(self.m2[c]) + f64::from(other.m2[c]);
            merged.offset[c] = (f64::from(self.offset[c]) + delta * nb / n) as f32;
            merged.m2[c] = (m2 + delta * delta * na * nb / n) as f32;
        }
        merged
    }

    /// The moments of all parts together, merged as a tree: pairs, then pairs of those. A chain would
    /// round once a part, and leave the bounds of [`check`](crate::check) from some dozens on.
    ///
    /// ```
    /// use wgpu_batchnorm::Moments;
    ///
    /// // What parts of 4 values a channel gave: rows of pivot, offset and m2, of one channel.
    /// let parts: Vec<_> = [[1.0, 0.5, 3.0], [2.0, 0.0, 1.0], [4.0, -1.5, 2.0]]
    ///     .map(|rows| Moments::from_rows(4, &rows))
    ///     .into();
    /// let whole = Moments::merge_all(&parts).unwrap();
    /// assert_eq!(whole.count, 12);
    /// assert_eq!(whole.mean(), [2.0]);
    /// assert_eq!(whole.variance(), [8.0 / 12.0]); // m2 of each, and 4·0.5² of two
    /// let rows = whole.rows(); // back to the device by `Tensor::write`, for `TrainBuffers::with_moments`
    /// assert_eq!(rows, [1.0, 1.0, 8.0]);
    /// ```
    ///
    /// # Panics
    /// As [`Moments::merge`].
    #[must_use]
    pub fn merge_all(parts: &[Self]) -> Option<Self> {
        match parts {
            [] => None,
            [one] => Some(one.clone()),
            _ => {
                let (left, right) = parts.split_at(parts.len() / 2);
                Some(Self::merge_all(left)?.merge(&Self::merge_all(right)?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_side_leaves_the_other_as_it_is() {
        let some = Moments::from_rows(5, &[1e6, 0.015625, 2.0]);
        let none = Moments::from_rows(0, &[0.0, f32::NAN, f32::NAN]);
        assert_eq!(some.merge(&none), some);
        assert_eq!(none.merge(&some), some);
        let both = some.merge(&some);
        assert_eq!((both.count, both.mean()), (10, some.mean()));
        assert_eq!(both.variance(), some.variance());
    }

    #[test]
    #[should_panic(expected = "fits 64 bits")]
    fn counts_do_not_wrap() {
        let most = Moments::from_rows(u64::MAX, &[0.0; 3]);
        let _ = most.merge(&most);
    }

    #[test]
    fn many_equal_parts_have_the_moments_of_one() {
        let part = Moments::from_rows(36, &[1.0, 0.3, 2.7182817]);
        for count in [1, 2, 3, 1000, 4096] {
            let whole = Moments::merge_all(&vec![part.clone(); count]).unwrap();
            assert_eq!(whole.count, 36 * count as u64);
            let off = whole.variance()[0] / part.variance()[0] - 1.0;
            assert!(off.abs() < 2e-7, "{count}: {off}");
        }
        assert_eq!(Moments::merge_all(&[]), None);
    }

    #[test]
    fn rows_go_in_and_come_out() {
        let rows = [1.0, -2.0, 0.5, 0.25, 6.0, 9.0];
        let moments = Moments::from_rows(3, &rows);
        assert_eq!(moments.pivot, [1.0, -2.0]);
        assert_eq!(moments.offset, [0.5, 0.25]);
        assert_eq!(moments.m2, [6.0, 9.0]);
        assert_eq!(moments.rows(), rows);
        assert_eq!(moments.mean(), [1.5, -1.75]);
        assert_eq!(moments.variance(), [2.0, 3.0]);
    }

    #[test]
    fn unequal_parts_merge_to_the_whole() {
        // {2, 4} and {1, 3, 5, 5, 6, 10} about 4: Σ is 36 over 8, squares about 4.5 sum to 54.
        let a = Moments::from_rows(2, &[4.0, -1.0, 2.0]);
        let b = Moments::from_rows(6, &[4.0, 1.0, 46.0]);
        for whole in [a.merge(&b), b.merge(&a)] {
            assert_eq!(whole.count, 8);
            assert_eq!(whole.pivot, [4.0]);
            assert_eq!(whole.offset, [0.5]);
            assert_eq!(whole.m2, [54.0]);
        }
    }

    #[test]
    fn missing_parameters_change_nothing() {
        let none = Parameters::default();
        assert_eq!((none.weight(1), none.bias(1)), (1.0, 0.0));
        let some = Parameters {
            weight: Some(&[2.0, 3.0]),
            bias: Some(&[4.0, 5.0]),
        };
        assert_eq!((some.weight(1), some.bias(1)), (3.0, 5.0));
    }
}
