// needs: params, load
// Compilers with fast math may assume that there is no NaN and no infinity, and may rearrange
// arithmetic. What they must not assume or rearrange passes through integer bits and `params.zero`,
// which is 0 and unknown to them.
fn hidden(bits: u32) -> u32 {
    return bits ^ params.zero;
}

fn opaque(value: PerChannel) -> PerChannel {
    return bitcast<PerChannel>(bitcast<PerChannelBits>(value) ^ PerChannelBits(params.zero));
}

// `value - pivot`, so that no compiler turns the later `(x - pivot) - offset` into
// `x - (pivot + offset)`, which would lose the offset.
fn centered(value: Value, pivot: PerChannel) -> Value {
    return bitcast<Value>(bitcast<ValueBits>(value - pivot) ^ ValueBits(params.zero));
}

fn centered_pivot(value: PerChannel, pivot: PerChannel) -> PerChannel {
    return opaque(value - pivot);
}

// Neither NaN nor infinity. With a mask that it knows, a compiler recognizes the question and assumes
// the answer.
fn is_finite(value: PerChannel) -> Flag {
    let exponent = PerChannelBits(hidden(0x7f800000u));
    return (bitcast<PerChannelBits>(value) & exponent) != exponent;
}

// No NaN.
fn is_number(value: Value) -> ValueFlag {
    let magnitude = ValueBits(hidden(0x7fffffffu));
    return (bitcast<ValueBits>(value) & magnitude) <= ValueBits(0x7f800000u);
}

// A constant NaN is a shader error; of this one a compiler knows no bit.
fn nan_bits() -> u32 {
    return hidden(0x7fc00000u);
}

// As bits: arithmetic may assume that there is no NaN.
fn or_nan(value: PerChannel, finite: Flag) -> PerChannel {
    let nan = PerChannelBits(nan_bits());
    return bitcast<PerChannel>(select(nan, bitcast<PerChannelBits>(value), finite));
}

// 1/sqrt(a): the builtin is good to 2 ULP, one residual Newton step mends it. `(a * r) * r` stays in
// range where `r * r` would not, and compilers may take either for 1. Zero and infinity have nothing
// to mend.
fn inverse_sqrt(a: PerChannel) -> PerChannel {
    let r = opaque(inverseSqrt(a));
    let residual = opaque(1.0 - opaque(a * r) * r);
    let mended = r + 0.5 * r * residual;
    return select(r, mended, is_finite(mended));
}
