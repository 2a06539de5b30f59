// `x - pivot`, hidden behind integer bits so that no compiler turns the later
// `(x - pivot) - offset` into `x - (pivot + offset)`, which would lose the offset.
fn centered(value: f32, pivot: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(value - pivot) ^ params.zero);
}

fn centered4(value: vec4<f32>, pivot: f32) -> vec4<f32> {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(value - pivot) ^ vec4(params.zero));
}

// WGSL may assume that there is no NaN, so it is told by its exponent bits.
fn is_finite(value: f32) -> bool {
    return (bitcast<u32>(value) & 0x7f800000u) != 0x7f800000u;
}

// A constant NaN is a shader error; this one the compiler cannot see.
fn nan_bits() -> u32 {
    return 0x7fc00000u | params.zero;
}

fn nan() -> f32 {
    return bitcast<f32>(nan_bits());
}

// 1/sqrt(a): the builtin is good to 2 ULP, one residual Newton step mends it.
// `(a * r) * r` stays in range where `r * r` would not. Zero and infinity have nothing to mend.
fn inverse_sqrt(a: f32) -> f32 {
    let r = inverseSqrt(a);
    let mended = r + 0.5 * r * (1.0 - (a * r) * r);
    return select(r, mended, is_finite(mended));
}

// Pairwise.
fn sum4(v: vec4<f32>) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}
