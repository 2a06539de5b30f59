// needs: load
// An image: the four channels of a texel are a load. sRGB views give linear values.
@group(0) @binding(1) var x: texture_2d<f32>;

fn texel_at(place: vec2<u32>) -> Value {
    return textureLoad(x, place, 0);
}

// Where the texel at an address of a walk is: x in the lower half, y in the upper.
fn place_of(at: u32) -> vec2<u32> {
    return vec2(at & 0xffffu, at >> 16u);
}

fn x_at(at: u32) -> Value {
    return texel_at(place_of(at));
}
