// needs: load, place
// A tensor of f32 that is an image: planes of a channel each, or texels side by side. Alpha is 1 where it has none.
@group(0) @binding(1) var<storage, read_write> x: array<f32>;

fn texel_at(place: vec2<u32>) -> Value {
    let at = tensor_place(place);
    let step = params.channel_step;
    var texel = Value(x[at], x[at + step], x[at + 2u * step], 1.0);
    if (has(HAS_ALPHA)) {
        texel.a = x[at + 3u * step];
    }
    return texel;
}

fn x_at(at: u32) -> Value {
    return texel_at(place_of(at));
}
