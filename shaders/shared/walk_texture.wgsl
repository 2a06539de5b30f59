// needs: params
// A walk over the texels of an image, row by row: divisions at the start, none on the way. An address is
// a texel's place: x in its lower half, y in its upper half. No side is above 2¹⁵.
struct Walker {
    place: vec2<u32>,
    step: vec2<u32>,
}

fn place_of_texel(position: u32, width: u32) -> vec2<u32> {
    return vec2(position % width, position / width);
}

fn address_of(channel: u32, position: u32) -> u32 {
    let place = place_of_texel(position, params.width);
    return (place.y << 16u) | place.x;
}

fn walk(channel: u32, position: u32) -> Walker {
    let width = params.width;
    return Walker(place_of_texel(position, width), place_of_texel(params.rows, width));
}

fn next(walker: ptr<function, Walker>) -> u32 {
    let here = (*walker).place;
    (*walker).place += (*walker).step;
    if ((*walker).place.x >= params.width) {
        (*walker).place.x -= params.width;
        (*walker).place.y += 1u;
    }
    return (here.y << 16u) | here.x;
}
