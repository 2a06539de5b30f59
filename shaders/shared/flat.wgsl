// needs: params, lanes, half, flat_channel
// A tensor of halves as words: `params.channels` words are a period, the shortest stretch after which the channels of
// a word's two halves repeat, and `params.count` periods are the tensor. The first word and the last may hold a half
// that is not the tensor's.
alias Mapped = vec2<f32>;

// The lane without the word that its last period may not have.
fn within(lane: Lane) -> Lane {
    var here = lane;
    let last = (lane.first + (lane.len - 1u) * params.rows) * params.channels + lane.local;
    here.len -= u32(lane.len > 0u && last * 2u >= params.end);
    return here;
}

// The channels of the lane's two halves.
fn channels_of(lane: Lane) -> vec2<u32> {
    // One period on, since there may be no half before the first.
    let low = (lane.local + params.channels) * 2u - params.skip;
    return vec2(flat_channel(low), flat_channel(low + 1u));
}

fn packed(value: Mapped, finite: vec2<bool>) -> u32 {
    return narrow(value.x, finite.x) | (narrow(value.y, finite.y) << 16u);
}

// Whether it is the tensor's first word, or its last.
fn at_an_end(at: u32) -> bool {
    return at == params.base || at == params.base + (params.end - 1u) / 2u;
}

// The bits of such a word that are the tensor's own.
fn own_bits(at: u32) -> u32 {
    let low = (at - params.base) * 2u;
    return select(0u, 0xffffu, low >= params.skip) | select(0u, 0xffff0000u, low + 1u < params.end);
}
