// needs: x, texel, place
// y as a tensor of f32, laid out as in `x_planes`.
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

fn store(at: u32, value: Value, finite: Flag) {
    let place = place_of(at);
    let texel = texel_of(place, value, finite);
    let to = tensor_place(place);
    let step = params.channel_step;
    out[to] = texel.r;
    out[to + step] = texel.g;
    out[to + 2u * step] = texel.b;
    if (has(HAS_ALPHA)) {
        out[to + 3u * step] = texel.a;
    }
}
