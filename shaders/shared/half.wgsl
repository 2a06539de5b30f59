// needs: load, numerics, subnormal
// f16 and bf16 without a device feature. All rounding is to the nearest even.

// bf16 instead of f16.
override BFLOAT: bool;

// In the high bits, with what is rounded away still below it.
fn to_bf16(bits: ValueBits) -> ValueBits {
    let odd = (bits >> ValueBits(16u)) & ValueBits(1u);
    return bits + ValueBits(0x7fffu) + odd;
}

// Normal halves from an f32's magnitude: the exponent's bias goes, thirteen bits are rounded away.
fn normal_f16(magnitude: ValueBits) -> ValueBits {
    let odd = (magnitude >> ValueBits(13u)) & ValueBits(1u);
    // 0xfff − 112·2^23, modulo 2^32.
    return (magnitude + odd + ValueBits(0xc8000fffu)) >> ValueBits(13u);
}

fn to_f16(bits: ValueBits) -> ValueBits {
    // The mask of `is_number`, so that one operation serves both.
    let magnitude = bits & ValueBits(hidden(0x7fffffffu));
    let small = magnitude < ValueBits(113u << 23u);
    let half = select(normal_f16(magnitude), subnormal_f16(magnitude), small);
    // What rounds past 65,504 is infinite.
    return min(half, ValueBits(0x7c00u)) | ((bits >> ValueBits(16u)) & ValueBits(0x8000u));
}

// NaN, 0x7fc0 in both formats, where a value is one or is not `finite`.
fn narrow(value: Value, finite: Flag) -> ValueBits {
    let bits = bitcast<ValueBits>(value);
    let number = is_number(value) & ValueFlag(finite);
    if (BFLOAT) {
        // Chosen before the shift: where two are packed, one shift is a mask then.
        return select(ValueBits(nan_bits()), to_bf16(bits), number) >> ValueBits(16u);
    }
    return select(ValueBits(0x7fc0u), to_f16(bits), number);
}
