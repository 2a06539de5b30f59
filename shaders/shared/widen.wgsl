// needs: half
// f16 and bf16 as floats, by integers.

// A half in the low bits of each word, whatever stands in the others.
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
