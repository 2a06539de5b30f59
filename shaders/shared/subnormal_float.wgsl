// needs: numerics
// f16 below 2^-14, of an f32's magnitude, by one addition, which the device was proved to round right: from 0.5 to
// 1, an f32 is a multiple of 2^-24. No compiler knows the 0.5.
fn subnormal_f16(magnitude: ValueBits) -> ValueBits {
    let sum = bitcast<Value>(magnitude) + bitcast<f32>(hidden(0x3f000000u));
    return bitcast<ValueBits>(sum) - ValueBits(0x3f000000u);
}
