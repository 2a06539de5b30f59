// `value - pivot`, hidden behind integer bits so that no compiler turns the later
// `(x - pivot) - offset` into `x - (pivot + offset)`, which would lose the offset.
fn centered(value: Value, pivot: PerChannel) -> Value {
    return bitcast<Value>(bitcast<ValueBits>(value - pivot) ^ ValueBits(params.zero));
}

// The same for what there is one of a channel.
fn centered_pivot(value: PerChannel, pivot: PerChannel) -> PerChannel {
    return bitcast<PerChannel>(bitcast<PerChannelBits>(value - pivot) ^ PerChannelBits(params.zero));
}

// WGSL may assume that there is no NaN, so it is told by its exponent bits.
fn is_finite(value: PerChannel) -> Flag {
    let exponent = PerChannelBits(0x7f800000u);
    return (bitcast<PerChannelBits>(value) & exponent) != exponent;
}

// A constant NaN is a shader error; this one the compiler cannot see.
fn nan_bits() -> u32 {
    return 0x7fc00000u | params.zero;
}

fn or_nan(value: PerChannel, finite: Flag) -> PerChannel {
    return select(PerChannel(bitcast<f32>(nan_bits())), value, finite);
}

// 1/sqrt(a): the builtin is good to 2 ULP, one residual Newton step mends it.
// `(a * r) * r` stays in range where `r * r` would not. Zero and infinity have nothing to mend.
fn inverse_sqrt(a: PerChannel) -> PerChannel {
    let r = inverseSqrt(a);
    let mended = r + 0.5 * r * (1.0 - (a * r) * r);
    return select(r, mended, is_finite(mended));
}
