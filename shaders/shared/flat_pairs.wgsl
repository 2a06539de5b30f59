// needs: gradient_pair, flat, dresidual, mapped_four
// What is mapped to the two dx of a word, and to the two dresidual.
struct Map {
    low: OneMap,
    high: OneMap,
}

struct Loaded {
    low: Pair,
    high: Pair,
}

// dresidual may be wanted alone.
fn writes_out() -> bool {
    return has(HAS_DX);
}

fn load_for(map: Map, at: u32) -> Loaded {
    let x = x_word(2u * at);
    let dy = dy_word(2u * at);
    let low = pair_of(2u * at, decode(x, 0u), decode(dy, 0u), statistics_in(map.low));
    let high = pair_of(2u * at + 1u, decode(x, 1u), decode(dy, 1u), statistics_in(map.high));
    return Loaded(low, high);
}

fn mapped(map: Map, at: u32, pairs: Loaded) -> Mapped {
    let low = statistics_in(map.low);
    let high = statistics_in(map.high);
    let dresiduals = vec2(dresidual_of(pairs.low, low), dresidual_of(pairs.high, high));
    store_dresidual(at, dresiduals, vec2(knows_dresidual(low), knows_dresidual(high)));
    return vec2(one_of(pairs.low, map.low), one_of(pairs.high, map.high));
}
