//! Per-channel statistics on the host, as the CPU path, the layer's state and checks hold them.

mod moments;

pub(crate) use moments::COUNTS;
pub use moments::Moments;

use crate::error::ShapeError;
use crate::shape::check_len;
#[cfg(any(feature = "cpu", feature = "reference"))]
use crate::shape::{View, check_channels};

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
    for (tensor, row) in rows {
        check_len(tensor, row.len(), expected)?;
    }
    Ok(rows.map(|(_, row)| row))
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
        let row = |tensor, values: Option<&[f32]>, missing, row: &mut [f32]| {
            match values {
                None => row.fill(missing),
                Some(values) => {
                    check_len(tensor, values.len(), channels)?;
                    row.copy_from_slice(values);
                }
            }
            Ok::<_, ShapeError>(())
        };
        let mut rows = filled(channels.saturating_mul(2), 0.0)?;
        let (weight, bias) = rows.split_at_mut(channels);
        row("weight", self.weight, 1.0, weight)?;
        row("bias", self.bias, 0.0, bias)?;
        Ok(rows)
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

/// Whether inference has a use for a running variance: one a little below 0, as published checkpoints hold them, is above 0
/// together with `eps`.
pub(crate) fn variance_taken(variance: f32, eps: f32) -> bool {
    variance >= 0.0 || variance + eps > 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_in_and_come_out() {
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
