//! The functional forms, as in the paper and `tf.nn`: moments over any axes, normalization with
//! given statistics, and folding a trained layer into the weights before it.

mod fold;
mod moments;
mod normalize;

pub use fold::{Folded, Trained, fold_into_linear};
#[cfg(feature = "cpu")]
pub use moments::cpu_moments;
pub use moments::{DeviceMoments, check_moments, moments};
pub use normalize::{AffineStep, Statistics, normalize};

#[cfg(feature = "internals")]
pub use moments::bind_moments;
#[cfg(feature = "internals")]
pub use normalize::bind_normalize;

/// Blocking twins.
#[cfg(feature = "blocking")]
pub mod blocking {
    use super::{AffineStep, DeviceMoments, Statistics};
    use crate::check::{Check, Report};
    use crate::error::Error;
    use crate::tensor::Tensor;

    /// Blocking twin of [`super::moments`].
    ///
    /// # Errors
    /// As there.
    pub fn moments(
        x: &Tensor,
        axes: &[isize],
        keep_dims: bool,
        check: Check,
    ) -> Result<DeviceMoments, Error> {
        pollster::block_on(super::moments(x, axes, keep_dims, check))
    }

    /// Blocking twin of [`super::normalize`].
    ///
    /// # Errors
    /// As there.
    pub fn normalize<'a>(
        x: &Tensor,
        statistics: impl Into<Statistics<'a>>,
        affine: AffineStep<'_>,
        eps: f32,
        check: Check,
    ) -> Result<(Tensor, Option<Report>), Error> {
        pollster::block_on(super::normalize(x, statistics, affine, eps, check))
    }
}
