// Compilers with fast math may assume that there is no NaN and no infinity, and may rearrange
// arithmetic. What must not be assumed or rearranged passes through integer bits and `params.zero`,
// which no compiler knows. A test of the shaders' text holds every test of a float's bits to it.
fn bits_of(value: Value) -> ValueBits {
    return bitcast<ValueBits>(value) ^ ValueBits(params.zero);
}

// The same for what there is one of a channel.
fn channel_bits_of(value: PerChannel) -> PerChannelBits {
    return bitcast<PerChannelBits>(value) ^ PerChannelBits(params.zero);
}

fn opaque(value: PerChannel) -> PerChannel {
    return bitcast<PerChannel>(channel_bits_of(value));
}

// `value - pivot`, so that no compiler turns the later `(x - pivot) - offset` into
// `x - (pivot + offset)`, which would lose the offset.
fn centered(value: Value, pivot: PerChannel) -> Value {
    return bitcast<Value>(bits_of(value - pivot));
}

fn centered_pivot(value: PerChannel, pivot: PerChannel) -> PerChannel {
    return opaque(value - pivot);
}

fn is_finite(value: PerChannel) -> Flag {
    let exponent = PerChannelBits(0x7f800000u);
    return (channel_bits_of(value) & exponent) != exponent;
}

fn is_number(value: Value) -> ValueFlag {
    return (bits_of(value) & ValueBits(0x7fffffffu)) <= ValueBits(0x7f800000u);
}

// A constant NaN is a shader error; of this one the compiler knows no bit.
fn nan_bits() -> u32 {
    return 0x7fc00000u ^ params.zero;
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
