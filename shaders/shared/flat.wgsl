// needs: params, lanes, half, flat_channel
// A tensor of halves as words, whose halves may be of two channels. Lanes walk rows of `params.channels` words. Where
// two such rows are a multiple of `params.period` halves, after which channels repeat, all words of a lane have the same
// two channels; where they are not, words of one run do. The first word and the last may hold a half that is not the
// tensor's.
alias Mapped = vec2<f32>;

// The next word of the lane, counted from the tensor's first.
fn word_of_lane(lane: Lane) -> u32 {
    return lane.first * params.channels + lane.local;
}

// The lane without the word that the last row may not have.
fn within(lane: Lane) -> Lane {
    var here = lane;
    here.first += (max(lane.len, 1u) - 1u) * params.rows;
    let missing = lane.len > 0u && word_of_lane(here) * 2u >= params.end;
    here.first = lane.first;
    here.len -= u32(missing);
    return here;
}

// How many halves lie before the word, and one period more: before the first half may be none.
fn before(word: u32) -> u32 {
    return word * 2u + params.period - params.skip;
}

// How many of the lane's next words have the same two channels: at least one.
fn alike(lane: Lane) -> u32 {
    if ((2u * params.channels) % params.period == 0u) {
        return lane.len;
    }
    // Up to the end of the run, where the word is not already part of the next.
    let place = before(word_of_lane(lane)) % params.inner;
    let step = params.address_step;
    let words = ((params.inner - place) / 2u + step - 1u) / params.address_step;
    return clamp(words, 1u, lane.len);
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
