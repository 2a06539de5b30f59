//! What outputs hold before a checked run, so that a value nobody wrote is told from a result.

/// A NaN that f16 and bf16 hold exactly, as 0x7f50 and 0x7fea. Checks fill outputs and scratch with it before
/// a run, and treat a result with exactly these bits as unwritten: it fails, even where NaN is right.
///
/// Kernels make another NaN, 0x7fc00000. An adapter may hand on an input's NaN with its bits; inputs that hold
/// this very NaN can therefore not be checked.
pub const POISON: f32 = f32::from_bits(0x7fea_0000);

/// Whether this is [`POISON`], bit for bit.
pub fn is_poison(value: f32) -> bool {
    value.to_bits() == POISON.to_bits()
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::{bf16, f16};

    #[test]
    fn every_element_holds_it() {
        assert!(POISON.is_nan() && is_poison(POISON) && !is_poison(f32::NAN));
        let (half, brain) = (f16::from_f32(POISON), bf16::from_f32(POISON));
        assert_eq!((half.to_bits(), brain.to_bits()), (0x7f50, 0x7fea));
        assert!(is_poison(half.to_f32()) && is_poison(brain.to_f32()));
    }
}
