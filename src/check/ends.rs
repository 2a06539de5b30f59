//! The ends of f32: what a sound device may lose where a number leaves it.
//!
//! **A spread that overflows.** Kernels hold Σ(x−μ)² in f32, the CPU path and the reference in f64. Where that sum is
//! beyond f32 and the variance itself is not, a channel may count as not finite or not: a result is judged as what it says it
//! is. Sums are off by [`FORWARD_BOUND`] of themselves, so this begins so much below the largest f32.
//!
//! **A scale that underflows.** `y` is (x − μ) times inv_std·weight, and `dx` a gradient times that. Where inv_std·weight, or the
//! weight, is below the smallest normal f32, a device that keeps subnormal numbers rounds it by up to 2⁻¹⁴⁹, and WGSL allows
//! one to take it for 0. So what it multiplies may be off by |inv_std·weight| times that, or by 2⁻¹⁴⁹ times that where this
//! is more. Of a scale of 1e-40, with x − μ of 1e10, that is 1e-30: all of y but its bias.
//!
//! **Sums that overflow on the way.** Σdy and Σdy·x̂ of one sign after the other: partial sums may leave f32 where the whole
//! does not. Where Σ|dy| is beyond f32, a dbias that is not finite is as good as the right one, and where Σ|dy·x̂| is, a dweight.

use super::FORWARD_BOUND;
use crate::error::ShapeError;
use crate::reference::{self, Moments, Shares};
use crate::shape::View;

/// The least that a sum that may have overflowed has.
pub(super) const LARGEST: f64 = f32::MAX as f64 * (1.0 - FORWARD_BOUND);
const LEAST_NORMAL: f64 = f32::MIN_POSITIVE as f64;
const LEAST: f64 = 1.0 / (1u128 << 126) as f64 / (1 << 23) as f64;

/// The reference's moments; a channel whose spread is beyond f32 has none where the result says so.
pub(super) fn moments(
    view: &View,
    x: &[f32],
    shares: &Shares<'_>,
    says_so: impl Fn(usize) -> bool,
) -> Result<Moments, ShapeError> {
    let mut batch = reference::moments_by(view, x, shares)?;
    for c in 0..view.channels() {
        let spread = batch.variance[c] * shares.total;
        if batch.is_finite(c) && spread > LARGEST && says_so(c) {
            batch.variance[c] = f64::INFINITY;
        }
    }
    Ok(batch)
}

/// How far a device's inv_std·weight may be off because f32 holds it badly.
pub(super) fn lost_of_scale(inv_std: f64, weight: f64) -> f64 {
    let scale = (inv_std * weight).abs();
    let normal = |v: f64| v == 0.0 || v.abs() >= LEAST_NORMAL;
    match normal(scale) && normal(weight) {
        true => 0.0,
        false => scale.max(LEAST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_subnormal_is_lost() {
        assert_eq!(LEAST, f64::from(f32::from_bits(1)));
        assert_eq!(lost_of_scale(1.0, 1.2e-38), 0.0);
        assert_eq!(lost_of_scale(1e-10, 0.0), 0.0);
        assert_eq!(lost_of_scale(1e-10, -1e-30), 1e-10 * 1e-30);
        assert_eq!(lost_of_scale(100.0, 1e-39), 100.0 * 1e-39);
        assert_eq!(lost_of_scale(1e-15, 1e-37), LEAST);
    }

    #[test]
    fn a_spread_beyond_f32_has_moments_unless_it_is_denied() {
        let view = View::of_lengths(40, 1, 1);
        let x: Vec<f32> = (0..40).map(|k| [1.5e19, -1.5e19][k % 2]).collect();
        let shares = Shares::of(&view, None);
        let moments = |x: &[f32], denied: bool| moments(&view, x, &shares, |_| denied).unwrap();
        assert!(moments(&x, false).is_finite(0));
        assert!(!moments(&x, true).is_finite(0));
        // What f32 can sum has.
        let x: Vec<f32> = x.iter().map(|v| v / 10.0).collect();
        assert!(moments(&x, true).is_finite(0));
    }
}
