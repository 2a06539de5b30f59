// needs: load, numerics
// f16 and bf16 without a device feature. All rounding is to the nearest even.

// bf16 instead of f16.
override BFLOAT: bool;
// f16 by the device's float instructions, which it was proved to have right (`shaders/proof/halves`). Both ways give
// the same bits; integers alone are right everywhere.
override PROVED: bool;

// A half in the low bits of each word.
fn widen(half: ValueBits) -> Value {
    if (BFLOAT) {
        return bitcast<Value>(half << ValueBits(16u));
    }
    let magnitude = half & ValueBits(0x7fffu);
    // Exponents are biased by 15 here and by 127 there; the largest means NaN or infinity.
    let special = magnitude >= ValueBits(0x7c00u);
    let bias = select(ValueBits(112u << 23u), ValueBits(224u << 23u), special);
    let normal = bitcast<Value>((magnitude << ValueBits(13u)) + bias);
    // Subnormals are multiples of 2^-24.
    let subnormal = Value(magnitude) * 5.9604644775390625e-8;
    let value = select(normal, subnormal, magnitude < ValueBits(0x0400u));
    let sign = (half & ValueBits(0x8000u)) << ValueBits(16u);
    return bitcast<Value>(bitcast<ValueBits>(value) | sign);
}

fn to_bf16(bits: ValueBits) -> ValueBits {
    let odd = (bits >> ValueBits(16u)) & ValueBits(1u);
    return (bits + ValueBits(0x7fffu) + odd) >> ValueBits(16u);
}

// Normal halves from an f32's magnitude: the exponent's bias goes, thirteen bits are rounded away.
fn normal_f16(magnitude: ValueBits) -> ValueBits {
    let odd = (magnitude >> ValueBits(13u)) & ValueBits(1u);
    // 0xfff − 112·2^23, modulo 2^32.
    return (magnitude + odd + ValueBits(0xc8000fffu)) >> ValueBits(13u);
}

// Below 2^-14: multiples of 2^-24. Below 2^-25 all is rounded away.
fn subnormal_f16(magnitude: ValueBits) -> ValueBits {
    let exponent = magnitude >> ValueBits(23u);
    let gone = min(ValueBits(126u) - min(exponent, ValueBits(112u)), ValueBits(25u));
    let digits = (magnitude & ValueBits(0x7fffffu)) | ValueBits(0x800000u);
    let kept = digits >> gone;
    let rest = digits - (kept << gone);
    let middle = ValueBits(1u) << (gone - ValueBits(1u));
    let tie = select(ValueBits(0u), kept & ValueBits(1u), rest == middle);
    return kept + select(tie, ValueBits(1u), rest > middle);
}

// The same by one addition: from 0.5 to 1, an f32 is a multiple of 2^-24. No compiler knows the 0.5.
fn subnormal_f16_proved(magnitude: ValueBits) -> ValueBits {
    let sum = bitcast<Value>(magnitude) + bitcast<f32>(hidden(0x3f000000u));
    return bitcast<ValueBits>(sum) - ValueBits(0x3f000000u);
}

fn to_f16(bits: ValueBits) -> ValueBits {
    // The mask of `is_number`, so that one operation serves both.
    let magnitude = bits & ValueBits(hidden(0x7fffffffu));
    var subnormal: ValueBits;
    if (PROVED) {
        subnormal = subnormal_f16_proved(magnitude);
    } else {
        subnormal = subnormal_f16(magnitude);
    }
    let half = select(normal_f16(magnitude), subnormal, magnitude < ValueBits(113u << 23u));
    // What rounds past 65,504 is infinite.
    return min(half, ValueBits(0x7c00u)) | ((bits >> ValueBits(16u)) & ValueBits(0x8000u));
}

// NaN, 0x7fc0 in both formats, where a value is one or is not `finite`.
fn narrow(value: Value, finite: Flag) -> ValueBits {
    let bits = bitcast<ValueBits>(value);
    var half = to_f16(bits);
    if (BFLOAT) {
        half = to_bf16(bits);
    }
    let nan = ValueBits(0x7fc0u);
    return select(nan, half, is_number(value) & ValueFlag(finite));
}
