// needs: load
// An image: its texels row by row, the four channels of each a load. sRGB views give linear values.
@group(0) @binding(1) var x: texture_2d<f32>;

fn place_of(at: u32) -> vec2<u32> {
    let width = textureDimensions(x).x;
    return vec2(at % width, at / width);
}

fn texel_at(place: vec2<u32>) -> Value {
    return textureLoad(x, place, 0);
}

fn x_at(at: u32) -> Value {
    return texel_at(place_of(at));
}
