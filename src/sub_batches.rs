//! Sub-batches: parts of a batch that are normalized one by one.

use std::ops::Range;

use crate::error::{ConfigError, Error};
use crate::shape::{View, resolve_axis};

#[cfg(feature = "cpu")]
use crate::config::Config;
#[cfg(any(feature = "cpu", feature = "reference"))]
use crate::error::ShapeError;

/// A batch cut into sub-batches, each of which is normalized by its own mean and variance as if it came alone: ghost batch
/// normalization (Hoffer, Hubara & Soudry, 2017).
///
/// Samples lie along the first axis of `x`, and so each sub-batch is contiguous in memory. They are cut in order; a
/// remainder is a sub-batch of its own. Gradients of weight and bias are sums over all sub-batches, and running
/// statistics count each as a batch, one after the other. Rows of saved statistics have a value for each sub-batch and
/// channel: that of sub-batch g and channel c at `g·C + c`.
///
/// ```
/// use wgpu_batchnorm::SubBatches;
///
/// // 5 samples of 3 channels by twos.
/// let sub_batches = SubBatches::new(2, &[5, 3, 4], 1)?;
/// assert_eq!(sub_batches.count(), 3);
/// assert_eq!(sub_batches.range(1), 24..48);
/// assert_eq!(sub_batches.view(2).outer(), 1);
/// # Ok::<_, wgpu_batchnorm::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubBatches {
    batch: View,
    /// Outer length of a sub-batch; the last may have less. At least 1.
    outer: usize,
}

impl SubBatches {
    /// Sub-batches of `samples` each, of a tensor of shape `x` with this channel axis; a negative one counts from the end.
    /// A batch of no more samples than that is the only one, and so is an empty batch.
    ///
    /// # Errors
    /// As [`View::new`]; 0 samples; a channel axis that is the first.
    pub fn new(samples: usize, x: &[usize], axis: isize) -> Result<Self, Error> {
        let batch = View::new(x, axis)?;
        let axis = resolve_axis(x, axis)?;
        if samples == 0 {
            return Err(ConfigError::NoSamples.into());
        }
        if axis == 0 {
            let (what, with) = ("sub-batches", "channels along the first axis");
            return Err(ConfigError::Combination { what, with }.into());
        }
        let of_a_sample: usize = x[1..axis].iter().product();
        Ok(Self {
            batch,
            outer: samples.min(x[0]).max(1) * of_a_sample,
        })
    }

    /// The batch as the only sub-batch.
    #[cfg(any(feature = "cpu", feature = "reference"))]
    pub(crate) fn whole(batch: View) -> Self {
        Self {
            batch,
            outer: batch.outer().max(1),
        }
    }

    /// How many there are, G: at least 1.
    pub fn count(&self) -> usize {
        self.batch.outer().div_ceil(self.outer).max(1)
    }

    /// The view of the batch.
    pub fn batch(&self) -> View {
        self.batch
    }

    /// The view of sub-batch `index`, counted from 0; an empty one where there is no such.
    pub fn view(&self, index: usize) -> View {
        let (_, channels, inner) = self.batch.lengths();
        View::of_lengths(self.rows(index).len(), channels, inner)
    }

    /// The elements of sub-batch `index` in memory order, as indices of the tensor; none where there is no such.
    pub fn range(&self, index: usize) -> Range<usize> {
        let (_, channels, inner) = self.batch.lengths();
        let rows = self.rows(index);
        rows.start * channels * inner..rows.end * channels * inner
    }

    /// Where a sub-batch lies along the outer axis.
    fn rows(&self, index: usize) -> Range<usize> {
        let all = self.batch.outer();
        let start = index.saturating_mul(self.outer).min(all);
        start..start.saturating_add(self.outer).min(all)
    }

    /// [`Config::validate_training`] of each sub-batch; the error of one value per channel says of which.
    #[cfg(feature = "cpu")]
    pub(crate) fn validate_training(&self, config: &Config) -> Result<(), ConfigError> {
        let count = self.count();
        (0..count).try_for_each(|index| {
            let view = self.view(index);
            config
                .validate_training(&view)
                .map_err(|error| match error {
                    ConfigError::OneValuePerChannel { .. } if count > 1 => {
                        let values = view.count();
                        ConfigError::SubBatch {
                            index,
                            count,
                            values,
                        }
                    }
                    error => error,
                })
        })
    }

    /// Refuses sub-batches of a tensor that is seen another way.
    #[cfg(any(feature = "cpu", feature = "reference"))]
    pub(crate) fn check(&self, view: &View) -> Result<(), ShapeError> {
        let lengths = |view: &View| {
            let (outer, channels, inner) = view.lengths();
            [outer, channels, inner]
        };
        crate::shape::same_shape(
            "x of the sub-batches",
            &lengths(&self.batch),
            &lengths(view),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sub_batches_follow_each_other_without_a_gap() {
        for (x, axis, samples, lengths) in [
            (&[5, 3, 4][..], 1, 2, &[2, 2, 1][..]),
            (&[6, 3], -1, 2, &[2, 2, 2]),
            (&[5, 4, 2, 3], -1, 3, &[24, 16]),
            (&[4, 1], 1, 1, &[1, 1, 1, 1]),
            (&[4, 2], 1, 4, &[4]),
            (&[4, 2], 1, usize::MAX, &[4]),
        ] {
            let sub_batches = SubBatches::new(samples, x, axis).unwrap();
            assert_eq!(sub_batches.count(), lengths.len(), "{x:?}");
            assert_eq!(sub_batches.batch(), View::new(x, axis).unwrap());
            let mut end = 0;
            for (index, &outer) in lengths.iter().enumerate() {
                let (view, range) = (sub_batches.view(index), sub_batches.range(index));
                assert_eq!(view.outer(), outer, "{x:?}");
                assert_eq!((range.start, range.len()), (end, view.len()), "{x:?}");
                end = range.end;
            }
            assert_eq!(end, sub_batches.batch().len(), "{x:?}");
            for none in [lengths.len(), usize::MAX] {
                assert!(sub_batches.view(none).is_empty());
                assert!(sub_batches.range(none).is_empty());
            }
        }
    }

    #[test]
    fn an_empty_batch_is_one_sub_batch() {
        let sub_batches = SubBatches::new(2, &[0, 4, 3], -1).unwrap();
        assert_eq!(sub_batches.count(), 1);
        assert_eq!(sub_batches.view(0), sub_batches.batch());
        assert_eq!(sub_batches.range(0), 0..0);
    }

    #[test]
    fn what_cannot_be_cut_is_refused() {
        let said = |samples, x: &[usize], axis| {
            let refused = SubBatches::new(samples, x, axis);
            refused.unwrap_err().to_string()
        };
        assert!(said(0, &[4, 3], 1).contains("0 samples"));
        for axis in [0, -2] {
            assert!(said(2, &[4, 3], axis).contains("first axis"));
        }
        assert!(said(2, &[4], 0).contains("rank 1"));
        assert!(said(2, &[4, 3], 2).contains("axis 2"));
    }

    #[cfg(feature = "cpu")]
    #[test]
    fn a_sub_batch_of_one_value_is_named() {
        let validate = |samples, x: &[usize], config: Config| {
            let sub_batches = SubBatches::new(samples, x, 1).unwrap();
            sub_batches.validate_training(&config)
        };
        let config = Config::pytorch();
        let refused = |index, count| {
            Err(ConfigError::SubBatch {
                index,
                count,
                values: 1,
            })
        };
        assert_eq!(validate(2, &[5, 3], config), refused(2, 3));
        assert_eq!(
            validate(1, &[5, 3], config.without_running()),
            refused(0, 5)
        );
        assert_eq!(validate(2, &[5, 3, 2], config), Ok(()));
        assert_eq!(validate(2, &[5, 3], Config::keras()), Ok(()));
        let alone = validate(2, &[1, 3], config);
        assert!(matches!(alone, Err(ConfigError::OneValuePerChannel { .. })));
        let eps = validate(2, &[5, 3], config.with_eps(0.0));
        assert!(matches!(eps, Err(ConfigError::TrainingEps { .. })));
    }
}
