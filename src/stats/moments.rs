//! Mergeable statistics.

use super::rows;
use crate::error::{ConfigError, ShapeError};
use crate::shape::check_len;

/// Counts of values per channel: up to 2^53, f64 holds each whole number.
pub(crate) const COUNTS: std::ops::RangeInclusive<f64> = 0.0..=9_007_199_254_740_992.0;

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

    /// The mean per channel, `pivot + offset`; NaN of no values.
    pub fn mean(&self) -> Vec<f64> {
        if self.count == 0.0 {
            return vec![f64::NAN; self.pivot.len()];
        }
        let pairs = self.pivot.iter().zip(&self.offset);
        pairs.map(|(&p, &o)| f64::from(p) + f64::from(o)).collect()
    }

    /// The biased variance per channel, `m2/count`; NaN of no values.
    pub fn variance(&self) -> Vec<f64> {
        let m2 = self.m2.iter();
        m2.map(|&m2| f64::from(m2) / self.count).collect()
    }

    /// The moments of both batches together, by the formula of Chan, Golub and LeVeque, *Updating
    /// Formulae and a Pairwise Algorithm for Computing Sample Variances*, 1979; pivots stay this one's. What comes out
    /// is rounded to f32 rows: of many parts, see [`Moments::merge_all`].
    ///
    /// # Errors
    /// Moments of another number of channels.
    pub fn merge(&self, other: &Self) -> Result<Self, ShapeError> {
        check_len("the other moments", other.m2.len(), self.m2.len())?;
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
    fn rows_go_in_and_come_out() {
        let rows = [1.0, -2.0, 0.5, 0.25, 6.0, 9.0];
        let moments = moments(3.0, &rows);
        assert_eq!(moments.pivot(), [1.0, -2.0]);
        assert_eq!(moments.offset(), [0.5, 0.25]);
        assert_eq!(moments.m2(), [6.0, 9.0]);
        assert_eq!(moments.to_rows(), rows);
        assert_eq!(moments.mean(), [1.5, -1.75]);
        assert_eq!(moments.variance(), [2.0, 3.0]);
    }
}
