// needs: params
// Where the texel at an address of a walk is: x in the lower half, y in the upper.
fn place_of(at: u32) -> vec2<u32> {
    return vec2(at & 0xffffu, at >> 16u);
}

// Where a texel's first channel lies in a tensor of an image.
fn tensor_place(place: vec2<u32>) -> u32 {
    return (place.y * params.width + place.x) * params.texel_step;
}
