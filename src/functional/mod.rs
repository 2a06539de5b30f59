//! The functional forms, as in the paper and `tf.nn`: moments over any axes, normalization with
//! given statistics, and folding a trained layer into the weights before or behind it.
//!
//! Like the layer's, these calls record work, submit it and return: nothing waits but what reads a result back.

mod fold;
mod moments;
mod normalize;

pub use fold::{Float, Folded, LinearWeight, Trained, fold_into_next, fold_into_previous};
pub use moments::{DeviceMoments, moments, weighted_moments};
#[cfg(feature = "cpu")]
pub use moments::{cpu_moments, cpu_weighted_moments};
pub use normalize::{AffineStep, Statistics, normalize};

#[cfg(feature = "internals")]
pub use moments::bind_moments;
#[cfg(feature = "internals")]
pub use normalize::bind_normalize;
#[cfg(feature = "reference")]
pub(crate) use {moments::PreparedMoments, normalize::PreparedNormalize};
