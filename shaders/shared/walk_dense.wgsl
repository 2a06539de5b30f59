// needs: params
// A walk over the positions of a piece's channel in a dense (outer, channels, inner) view: one division
// at the start, none on the way.
struct Walker {
    address: u32,
    inner: u32,
}

fn address_of(channel: u32, position: u32) -> u32 {
    let outer = position / params.inner;
    let run = (outer * params.channels + channel) * params.inner;
    return params.base + run + (position - outer * params.inner);
}

fn walk(channel: u32, position: u32) -> Walker {
    return Walker(address_of(channel, position), position % params.inner);
}

fn next(walker: ptr<function, Walker>) -> u32 {
    let here = (*walker).address;
    // Whether the step leaves the run.
    let wraps = (*walker).inner >= params.inner - params.inner_step;
    (*walker).address += params.address_step + select(0u, params.wrap_step, wraps);
    (*walker).inner += params.inner_step + select(0u, 0u - params.inner, wraps);
    return here;
}
