// needs: params, load, place
// An image: the four channels of a texel are a load. sRGB views give linear values.
@group(0) @binding(1) var x: texture_2d<f32>;

// A place counts from where the image begins in the texture.
fn texel_at(place: vec2<u32>) -> Value {
    return textureLoad(x, place + place_of(params.x_origin), 0);
}

// Where statistics are of luminance alone, all four channels have it (ITU-R BT.709).
fn x_at(at: u32) -> Value {
    let texel = texel_at(place_of(at));
    if (has(LUMINANCE)) {
        return Value(dot(texel.rgb, vec3(0.2126, 0.7152, 0.0722)));
    }
    return texel;
}
