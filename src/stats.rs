//! Per-channel statistics on the host, as the CPU path, the layer's state and checks hold them.

use crate::error::{ConfigError, ShapeError};
#[cfg(any(feature = "cpu", feature = "reference"))]
use crate::shape::{View, check_channels};

/// Counts of values per channel: up to 2^53, f64 holds each whole number.
pub(crate) const COUNTS: std::ops::RangeInclusive<f64> = 0.0..=9_007_199_254_740_992.0;

/// The `N` rows that per-channel values lie in, one after the other, of one length.
pub(crate) fn rows<const N: usize>(values: &[f32]) -> Result<[Vec<f32>; N], ShapeError> {
    let channels = values.len() / N;
    if channels * N != values.len() || values.is_empty() {
        return Err(ShapeError::Length {
            tensor: "rows",
            got: values.len(),
            expected: (channels + 1) * N,
        });
    }
    Ok(std::array::from_fn(|k| {
        values[k * channels..(k + 1) * channels].to_vec()
    }))
}

/// The rows, where they are as long as the first.
fn of_one_length<'a, const N: usize>(
    rows: [(&'static str, &'a [f32]); N],
) -> Result<[&'a [f32]; N], ShapeError> {
    let expected = rows[0].1.len();
    match rows.iter().find(|(_, row)| row.len() != expected) {
        None => Ok(rows.map(|(_, row)| row)),
        Some((tensor, row)) => Err(ShapeError::Length {
            tensor,
            got: row.len(),
            expected,
        }),
    }
}

/// One value for each channel.
pub(crate) fn filled<T: Copy>(channels: usize, value: T) -> Result<Vec<T>, ShapeError> {
    let mut values = Vec::new();
    let reserved = values.try_reserve_exact(channels);
    reserved.map_err(|_| ShapeError::Overflow {
        shape: vec![channels],
    })?;
    values.resize(channels, value);
    Ok(values)
}

/// Running statistics of a layer: what inference uses.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
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
    ///
    /// # Errors
    /// More channels than there is memory for.
    pub fn new(channels: usize) -> Result<Self, ShapeError> {
        Ok(Self {
            mean: filled(channels, 0.0)?,
            variance: filled(channels, 1.0)?,
            batches: filled(channels, 0)?,
        })
    }

    /// From mean, variance and batches counted, `[C]` each.
    ///
    /// # Errors
    /// A variance or batches of another length than the mean.
    pub fn from_parts(
        mean: Vec<f32>,
        variance: Vec<f32>,
        batches: Vec<u32>,
    ) -> Result<Self, ShapeError> {
        let statistics = Self {
            mean,
            variance,
            batches,
        };
        statistics.rows()?;
        Ok(statistics)
    }

    /// From rows of mean, variance and batches (as u32 bits), `[3, C]`, as the device keeps them.
    ///
    /// # Errors
    /// A number of values that is not three times a number of channels.
    pub fn from_rows(values: &[f32]) -> Result<Self, ShapeError> {
        let [mean, variance, batches] = rows(values)?;
        Ok(Self {
            mean,
            variance,
            batches: batches.into_iter().map(f32::to_bits).collect(),
        })
    }

    /// Rows of mean, variance and batches (as u32 bits), `[3, C]`, as the device keeps them.
    ///
    /// # Errors
    /// A variance or batches of another length than the mean.
    pub fn to_rows(&self) -> Result<Vec<f32>, ShapeError> {
        Ok(self.rows()?.concat())
    }

    fn rows(&self) -> Result<[&[f32]; 3], ShapeError> {
        of_one_length([
            ("running_mean", &self.mean),
            ("running_var", &self.variance),
            ("batches", bytemuck::cast_slice(&self.batches)),
        ])
    }
}

/// What training forward leaves for backward, per channel, read back to the host.
///
/// The batch mean is `pivot + offset`; `batch_mean` is that sum rounded to one f32.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
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

impl SavedStatistics {
    /// From rows of pivot, offset, inv_std, batch mean and batch variance, `[5, C]`, as the device keeps them.
    ///
    /// # Errors
    /// A number of values that is not five times a number of channels.
    pub fn from_rows(values: &[f32]) -> Result<Self, ShapeError> {
        let [pivot, offset, inv_std, batch_mean, batch_var] = rows(values)?;
        Ok(Self {
            pivot,
            offset,
            inv_std,
            batch_mean,
            batch_var,
        })
    }

    /// Rows of pivot, offset, inv_std, batch mean and batch variance, `[5, C]`, as the device keeps them.
    ///
    /// # Errors
    /// A row of another length than the pivot.
    pub fn to_rows(&self) -> Result<Vec<f32>, ShapeError> {
        let rows = of_one_length([
            ("pivot", &self.pivot),
            ("offset", &self.offset),
            ("inv_std", &self.inv_std),
            ("batch_mean", &self.batch_mean),
            ("batch_var", &self.batch_var),
        ])?;
        Ok(rows.concat())
    }
}

/// Parameters of the affine step, `[C]` each; a missing weight is 1, a missing bias 0.
///
/// ```
/// use wgpu_batchnorm::Parameters;
/// let weight = vec![2.0; 3];
/// let parameters = Parameters::default().with_weight(&weight[..]);
/// assert_eq!(parameters.to_rows(3)?, [2.0, 2.0, 2.0, 0.0, 0.0, 0.0]);
/// # Ok::<_, wgpu_batchnorm::error::ShapeError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Parameters<'a> {
    /// γ.
    pub weight: Option<&'a [f32]>,
    /// β.
    pub bias: Option<&'a [f32]>,
}

impl<'a> Parameters<'a> {
    /// Sets γ, `[C]`.
    pub fn with_weight(mut self, weight: impl Into<Option<&'a [f32]>>) -> Self {
        self.weight = weight.into();
        self
    }

    /// Sets β, `[C]`.
    pub fn with_bias(mut self, bias: impl Into<Option<&'a [f32]>>) -> Self {
        self.bias = bias.into();
        self
    }

    /// From rows of weight and bias, `[2, C]`, as the device keeps them.
    ///
    /// # Errors
    /// A number of values that is not twice a number of channels.
    pub fn from_rows(values: &'a [f32]) -> Result<Self, ShapeError> {
        let channels = values.len() / 2;
        if channels * 2 != values.len() || channels == 0 {
            return Err(ShapeError::Length {
                tensor: "rows",
                got: values.len(),
                expected: (channels + 1) * 2,
            });
        }
        let (weight, bias) = values.split_at(channels);
        Ok(Self {
            weight: Some(weight),
            bias: Some(bias),
        })
    }

    /// Rows of weight and bias of `channels` channels, `[2, C]`, as the device keeps them.
    ///
    /// # Errors
    /// A weight or a bias of another length; more channels than there is memory for.
    pub fn to_rows(&self, channels: usize) -> Result<Vec<f32>, ShapeError> {
        let row = |tensor, values: Option<&[f32]>, missing| match values {
            None => filled(channels, missing),
            Some(values) if values.len() == channels => Ok(values.to_vec()),
            Some(values) => Err(ShapeError::Length {
                tensor,
                got: values.len(),
                expected: channels,
            }),
        };
        Ok([
            row("weight", self.weight, 1.0)?,
            row("bias", self.bias, 0.0)?,
        ]
        .concat())
    }

    /// Refuses a weight or a bias that has not one value for each channel.
    #[cfg(any(feature = "cpu", feature = "reference"))]
    pub(crate) fn check_lengths(&self, view: &View) -> Result<(), ShapeError> {
        let check = |tensor, row: Option<&[f32]>| {
            row.map_or(Ok(()), |row| check_channels(view, tensor, row))
        };
        check("weight", self.weight)?;
        check("bias", self.bias)
    }

    /// The weight of channel `c`, 1 where there is none.
    pub fn weight(&self, c: usize) -> f32 {
        self.weight.and_then(|w| w.get(c).copied()).unwrap_or(1.0)
    }

    /// The bias of channel `c`, 0 where there is none.
    pub fn bias(&self, c: usize) -> f32 {
        self.bias.and_then(|b| b.get(c).copied()).unwrap_or(0.0)
    }
}

/// Gradients of one backward pass on the host.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct HostGradients {
    /// Gradient of the input, in its shape; empty where it was not asked for.
    pub dx: Vec<f32>,
    /// Gradient of the weight, `[C]`.
    pub dweight: Vec<f32>,
    /// Gradient of the bias, `[C]`.
    pub dbias: Vec<f32>,
}

impl HostGradients {
    /// From the gradients of the input, the weight and the bias; an empty `dx` where none was asked for.
    pub fn new(dx: Vec<f32>, dweight: Vec<f32>, dbias: Vec<f32>) -> Self {
        Self { dx, dweight, dbias }
    }
}

/// Mergeable statistics of a batch, per channel.
///
/// The mean is `pivot + offset`, two f32 that keep what one would round away; `m2` is the sum of
/// squares about the mean, `Σ(x−μ)²`. Moments of parts merge into the moments of the whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    count: f64,
    pivot: Vec<f32>,
    offset: Vec<f32>,
    m2: Vec<f32>,
}

impl Moments {
    /// From rows of pivot, offset and m2, `[3, C]`, of `count` values a channel, as the device keeps them.
    ///
    /// On the host a count may have a fraction. A device takes whole ones.
    ///
    /// # Errors
    /// A number of values that is not three times a number of channels; a count below 0, above 2^53 or not finite.
    pub fn from_rows(count: f64, values: &[f32]) -> Result<Self, crate::Error> {
        if !COUNTS.contains(&count) {
            return Err(ConfigError::CountOfValues { got: count }.into());
        }
        let [pivot, offset, m2] = rows(values)?;
        Ok(Self {
            count,
            pivot,
            offset,
            m2,
        })
    }

    /// Of as many channels as each row has values.
    #[cfg(feature = "cpu")]
    pub(crate) fn of(count: f64, [pivot, offset, m2]: [Vec<f32>; 3]) -> Self {
        Self {
            count,
            pivot,
            offset,
            m2,
        }
    }

    /// Rows of pivot, offset and m2, `[3, C]`, as the device keeps them.
    pub fn to_rows(&self) -> Vec<f32> {
        [&self.pivot[..], &self.offset, &self.m2].concat()
    }

    /// Values per channel.
    pub fn count(&self) -> f64 {
        self.count
    }

    /// An f32 near each channel's mean: a sample of the channel, or the mean rounded.
    pub fn pivot(&self) -> &[f32] {
        &self.pivot
    }

    /// The mean of `x − pivot`, per channel.
    pub fn offset(&self) -> &[f32] {
        &self.offset
    }

    /// `Σ(x−μ)²`, per channel.
    pub fn m2(&self) -> &[f32] {
        &self.m2
    }

    /// The mean per channel, `pivot + offset`.
    pub fn mean(&self) -> Vec<f64> {
        let pairs = self.pivot.iter().zip(&self.offset);
        pairs.map(|(&p, &o)| f64::from(p) + f64::from(o)).collect()
    }

    /// The biased variance per channel, `m2/count`.
    pub fn variance(&self) -> Vec<f64> {
        let m2 = self.m2.iter();
        m2.map(|&m2| f64::from(m2) / self.count).collect()
    }

    /// The moments of both batches together, by Chan's formula; pivots stay this one's. What comes out
    /// is rounded to f32 rows: of many parts, see [`Moments::merge_all`].
    ///
    /// # Errors
    /// Moments of another number of channels.
    pub fn merge(&self, other: &Self) -> Result<Self, ShapeError> {
        if self.m2.len() != other.m2.len() {
            return Err(ShapeError::Length {
                tensor: "the other moments",
                got: other.m2.len(),
                expected: self.m2.len(),
            });
        }
        // An empty side leaves the other as it is, bit for bit.
        if other.count == 0.0 {
            return Ok(self.clone());
        }
        if self.count == 0.0 {
            return Ok(other.clone());
        }
        let (na, nb) = (self.count, other.count);
        let n = na + nb;
        let (mean_a, mean_b) = (self.mean(), other.mean());
        let mut merged = self.clone();
        merged.count = n;
        for c in 0..self.m2.len() {
            let delta = mean_b[c] - mean_a[c];
            let m2 = f64::from(self.m2[c]) + f64::from(other.m2[c]);
            merged.offset[c] = (f64::from(self.offset[c]) + delta * nb / n) as f32;
            merged.m2[c] = (m2 + delta * delta * na * nb / n) as f32;
        }
        Ok(merged)
    }

    /// The moments of all parts together, merged as a tree: pairs, then pairs of those. A chain would round
    /// once for each part, and leave the bounds of accuracy from some dozens of parts on.
    ///
    /// ```
    /// use wgpu_batchnorm::Moments;
    ///
    /// // What parts of 4 values a channel gave: rows of pivot, offset and m2, of one channel.
    /// let parts = [[1.0, 0.5, 3.0], [2.0, 0.0, 1.0], [4.0, -1.5, 2.0]]
    ///     .map(|rows| Moments::from_rows(4.0, &rows).unwrap());
    /// let whole = Moments::merge_all(&parts)?;
    /// assert_eq!(whole.count(), 12.0);
    /// assert_eq!(whole.mean(), [2.0]);
    /// assert_eq!(whole.variance(), [8.0 / 12.0]); // m2 of each, and 4·0.5² of two
    /// let rows = whole.to_rows(); // back to the device by `Tensor::write`, for `TrainBuffers::with_moments`
    /// assert_eq!(rows, [1.0, 1.0, 8.0]);
    /// # Ok::<_, wgpu_batchnorm::error::ShapeError>(())
    /// ```
    ///
    /// # Errors
    /// No parts; as [`Moments::merge`].
    pub fn merge_all(parts: &[Self]) -> Result<Self, ShapeError> {
        match parts {
            [] => Err(ShapeError::Length {
                tensor: "parts",
                got: 0,
                expected: 1,
            }),
            [one] => Ok(one.clone()),
            _ => {
                let (left, right) = parts.split_at(parts.len() / 2);
                Self::merge_all(left)?.merge(&Self::merge_all(right)?)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(count: f64, rows: &[f32]) -> Moments {
        Moments::from_rows(count, rows).unwrap()
    }

    #[test]
    fn an_empty_side_leaves_the_other_as_it_is() {
        let some = moments(5.0, &[1e6, 0.015625, 2.0]);
        let none = moments(0.0, &[0.0, f32::NAN, f32::NAN]);
        assert_eq!(some.merge(&none).unwrap(), some);
        assert_eq!(none.merge(&some).unwrap(), some);
        let both = some.merge(&some).unwrap();
        assert_eq!((both.count(), both.mean()), (10.0, some.mean()));
        assert_eq!(both.variance(), some.variance());
    }

    #[test]
    fn what_cannot_be_moments_is_refused() {
        for (count, said) in [
            (-1.0, "count of -1.0 "),
            (f64::NAN, "count of NaN "),
            (f64::INFINITY, "count of inf "),
            (1e300, "count of 1e300 "),
            (COUNTS.end() + 2.0, "count of 9007199254740994.0 "),
        ] {
            let refused = Moments::from_rows(count, &[0.0; 3])
                .unwrap_err()
                .to_string();
            assert!(refused.contains(said), "{refused}");
            assert!(refused.contains("from 0 to 2^53"), "{refused}");
        }
        for count in [0.0, 2.5, *COUNTS.end()] {
            assert_eq!(moments(count, &[0.0; 3]).count(), count);
        }
        for rows in [&[][..], &[0.0; 4]] {
            assert!(Moments::from_rows(1.0, rows).is_err());
        }
        let (one, two) = (moments(2.0, &[0.0; 3]), moments(2.0, &[0.0; 6]));
        assert!(one.merge(&two).is_err() && two.merge(&one).is_err());
        assert!(Moments::merge_all(&[one, two]).is_err());
        assert!(Moments::merge_all(&[]).is_err());
    }

    #[test]
    fn many_equal_parts_have_the_moments_of_one() {
        let part = moments(36.0, &[1.0, 0.3, 2.7182817]);
        for count in [1, 2, 3, 1000, 4096] {
            let whole = Moments::merge_all(&vec![part.clone(); count]).unwrap();
            assert_eq!(whole.count(), 36.0 * count as f64);
            let off = whole.variance()[0] / part.variance()[0] - 1.0;
            assert!(off.abs() < 2e-7, "{count}: {off}");
        }
    }

    #[test]
    fn rows_go_in_and_come_out() {
        let rows = [1.0, -2.0, 0.5, 0.25, 6.0, 9.0];
        let moments = moments(3.0, &rows);
        assert_eq!(moments.pivot(), [1.0, -2.0]);
        assert_eq!(moments.offset(), [0.5, 0.25]);
        assert_eq!(moments.m2(), [6.0, 9.0]);
        assert_eq!(moments.to_rows(), rows);
        assert_eq!(moments.mean(), [1.5, -1.75]);
        assert_eq!(moments.variance(), [2.0, 3.0]);

        let running = RunningStatistics::from_rows(&[1.0, 2.0, f32::from_bits(7)]).unwrap();
        assert_eq!((running.mean[0], running.variance[0]), (1.0, 2.0));
        assert_eq!(running.batches, [7]);
        assert_eq!(
            RunningStatistics::from_rows(&running.to_rows().unwrap()).unwrap(),
            running
        );
        assert!(RunningStatistics::from_rows(&[0.0; 4]).is_err());

        let rows: Vec<f32> = (0..10).map(|k| k as f32).collect();
        let saved = SavedStatistics::from_rows(&rows).unwrap();
        assert_eq!(
            (&saved.inv_std, &saved.batch_var),
            (&vec![4.0, 5.0], &vec![8.0, 9.0])
        );
        assert_eq!(saved.to_rows().unwrap(), rows);
        assert!(SavedStatistics::from_rows(&rows[1..]).is_err());

        let rows = [1.0, 2.0, 3.0, 4.0];
        let parameters = Parameters::from_rows(&rows).unwrap();
        assert_eq!((parameters.weight(1), parameters.bias(0)), (2.0, 3.0));
        assert_eq!(parameters.to_rows(2).unwrap(), rows);
        assert!(parameters.to_rows(3).is_err() && Parameters::from_rows(&rows[1..]).is_err());
        assert_eq!(Parameters::default().to_rows(1).unwrap(), [1.0, 0.0]);
    }

    #[test]
    fn unequal_parts_merge_to_the_whole() {
        // {2, 4} and {1, 3, 5, 5, 6, 10} about 4: Σ is 36 over 8, squares about 4.5 sum to 54.
        let a = moments(2.0, &[4.0, -1.0, 2.0]);
        let b = moments(6.0, &[4.0, 1.0, 46.0]);
        for whole in [a.merge(&b), b.merge(&a)] {
            let whole = whole.unwrap();
            assert_eq!(whole.count(), 8.0);
            assert_eq!(whole.to_rows(), [4.0, 0.5, 54.0]);
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
