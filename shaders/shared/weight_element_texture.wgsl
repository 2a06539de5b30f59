// needs: params, place
// The first element of a texel at this address of an image, counted from the image's first.
fn element_at(at: u32) -> u32 {
    let place = place_of(at);
    return (place.y * params.width + place.x) * LOAD;
}
