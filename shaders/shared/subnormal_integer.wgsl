// needs: load
// f16 below 2^-14, of an f32's magnitude, by integers: multiples of 2^-24. Below 2^-25 all is rounded away.
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
