// What is written at `place`: where the statistics are not finite NaN, or 0 if the format has none;
// alpha as it was, if it is to be kept.
fn texel_of(place: vec2<u32>, y: Value, finite: Flag) -> vec4<f32> {
    var texel = select(Value(0.0), y, finite);
    if (HOLDS_NAN) {
        texel = or_nan(y, finite);
    }
    if (has(KEEP_ALPHA)) {
        texel.a = texel_at(place).a;
    }
    return texel;
}
