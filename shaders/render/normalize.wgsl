// needs: params, x, place, texel, frozen, saved_channel, y
// Normalization on the way into a colour target, by the statistics that training saved
// or by running ones.
// weight, bias: `[2][C]`.
@group(0) @binding(4) var<storage, read> affine: array<PerChannel>;
// mean, variance, …: `[3][C]`.
@group(0) @binding(5) var<storage, read> frozen: array<PerChannel>;
// pivot, offset, inv_std, …: `[5][C]`.
@group(0) @binding(6) var<storage, read> saved: array<PerChannel>;

// One triangle that covers the target.
@vertex
fn cover(@builtin(vertex_index) corner: u32) -> @builtin(position) vec4<f32> {
    return vec4(f32(corner & 1u) * 4.0 - 1.0, f32(corner >> 1u) * 4.0 - 1.0, 0.0, 1.0);
}

@fragment
fn shade(@builtin(position) position: vec4<f32>) -> @location(0) vec4<f32> {
    let place = vec2<u32>(position.xy);
    // A target may be larger than the image.
    if (any(place + place_of(params.x_origin) >= textureDimensions(x))) {
        discard;
    }
    var s: Statistics;
    if (has(FROM_RUNNING)) {
        s = frozen_statistics(0u);
    } else {
        s = saved_channel(0u);
    }
    return texel_of(place, y_of(0u, texel_at(place), s), s.finite);
}
