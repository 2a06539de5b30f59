// needs: params, x, convert
// What is written at `place`: alpha as it was, as far as the format holds it, if it is to be kept.
fn texel_of(place: vec2<u32>, y: Value, finite: Flag) -> vec4<f32> {
    var texel = converted(y, finite);
    if (has(KEEP_ALPHA)) {
        texel.a = converted(texel_at(place), Flag(true)).a;
    }
    return texel;
}
