// needs: params, axes
// A walk over the positions of a channel where kept and reduced axes alternate.
struct Walker {
    base: u32,
    position: u32,
}

fn base_of(channel: u32) -> u32 {
    var rest = channel;
    var address = 0u;
    for (var k = 0u; k < 8u && rest > 0u; k++) {
        let axis = axes.kept[k];
        address += (rest % axis.x) * axis.y;
        rest /= axis.x;
    }
    return address;
}

fn offset_of(position: u32) -> u32 {
    var rest = position;
    var address = 0u;
    for (var k = 0u; k < 8u && rest > 0u; k++) {
        let axis = axes.reduced[k];
        address += (rest % axis.x) * axis.y;
        rest /= axis.x;
    }
    return address;
}

fn address_of(channel: u32, position: u32) -> u32 {
    return base_of(channel) + offset_of(position);
}

fn walk(channel: u32, position: u32) -> Walker {
    return Walker(base_of(channel), position);
}

fn next(walker: ptr<function, Walker>) -> u32 {
    let here = (*walker).base + offset_of((*walker).position);
    (*walker).position += params.rows;
    return here;
}
