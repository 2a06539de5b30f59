//! Errors of stored results, beyond what their type rounds away.

use half::{bf16, f16};

use crate::element::Element;

/// |got − expected| beyond half a unit in the last place of f16 or bf16, over `scale`; infinite
/// where finite and non-finite values disagree.
pub(super) fn error(element: Element, got: f32, expected: f64, scale: f64, bound: f64) -> f64 {
    if got == rounded(element, expected) || (got.is_nan() && expected.is_nan()) {
        // Two equal infinities have no difference.
        let error = (f64::from(got) - expected).abs() - half_ulp(element, expected);
        return if error.is_finite() {
            error.max(0.0) / scale
        } else {
            0.0
        };
    }
    if got.is_infinite() && element != Element::F32 {
        // Infinite one type's rounding before the reference is, by an error within the bound.
        let nearest = rounded(element, expected + expected.signum() * scale * bound);
        return if got == nearest { bound } else { f64::INFINITY };
    }
    let error = (f64::from(got) - expected).abs() - half_ulp(element, expected);
    match error.is_finite() {
        true => error.max(0.0) / scale,
        false => f64::INFINITY,
    }
}

fn rounded(element: Element, value: f64) -> f32 {
    match element {
        Element::F32 => value as f32,
        Element::F16 => f16::from_f64(value).to_f32(),
        Element::Bf16 => bf16::from_f64(value).to_f32(),
    }
}

/// Half the distance between neighbours of the type at `value`; none for f32, whose bounds hold
/// its rounding.
fn half_ulp(element: Element, value: f64) -> f64 {
    let (digits, least) = match element {
        Element::F32 => return 0.0,
        Element::F16 => (10, -14),
        Element::Bf16 => (7, -126),
    };
    if !value.is_finite() {
        return 0.0;
    }
    let exponent = ((value.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    2f64.powi(exponent.max(least) - digits - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_unit_is_free_and_no_more() {
        for (element, ulp) in [
            (Element::F16, 2f64.powi(-10)),
            (Element::Bf16, 2f64.powi(-7)),
        ] {
            let error = |expected: f64| error(element, 1.0, expected, 1.0, 1e-6);
            assert_eq!(error(1.0 + 0.5 * ulp), 0.0);
            assert!((error(1.0 + 0.75 * ulp) - 0.25 * ulp).abs() < 1e-12);
            assert!((error(1.0 + 2.0 * ulp) - 1.5 * ulp).abs() < 1e-12);
        }
        assert_eq!(error(Element::F32, 1.0, 1.5, 1.0, 1e-6), 0.5);
    }

    #[test]
    fn infinities_and_nan_have_to_agree() {
        let f16 = |got: f32, expected: f64| error(Element::F16, got, expected, 1e5, 1e-6);
        assert_eq!(f16(f32::INFINITY, 70_000.0), 0.0);
        // 65,520 is where rounding to f16 turns infinite.
        assert_eq!(f16(f32::INFINITY, 65_519.95), 1e-6);
        assert_eq!(f16(f32::INFINITY, 65_000.0), f64::INFINITY);
        assert_eq!(f16(f32::NAN, 1.0), f64::INFINITY);
        assert_eq!(f16(f32::NAN, f64::NAN), 0.0);
        assert_eq!(f16(1.0, f64::NAN), f64::INFINITY);
        let f32 = |got: f32, expected: f64| error(Element::F32, got, expected, 1.0, 1e-6);
        assert_eq!(f32(f32::INFINITY, 1e39), 0.0);
        assert_eq!(f32(f32::INFINITY, 1e38), f64::INFINITY);
        assert_eq!(f32(f32::INFINITY, f64::NEG_INFINITY), f64::INFINITY);
    }
}
