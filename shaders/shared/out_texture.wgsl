// needs: x, texel, place
// y. Another texture than x: one cannot be read and written in a dispatch.
@group(0) @binding(2) var out: Out;

fn store(at: u32, value: Value, finite: Flag) {
    let place = place_of(at);
    textureStore(out, place + place_of(params.y_origin), texel_of(place, value, finite));
}
