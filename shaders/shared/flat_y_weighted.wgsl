// needs: x, weighted, y, flat, mapped_four
// What is mapped to the two y of a word. Padding is not looked at.
struct Map {
    low: Statistics,
    high: Statistics,
}

fn writes_out() -> bool {
    return true;
}

struct Loaded {
    word: Word,
    low: Weight,
    high: Weight,
}

fn load_for(map: Map, at: u32) -> Loaded {
    var loaded = Loaded(x_word(2u * at), 1.0, 1.0);
    if (has(ZERO_OUTSIDE)) {
        loaded.low = weight_at(2u * at);
        loaded.high = weight_at(2u * at + 1u);
    }
    return loaded;
}

fn mapped(map: Map, at: u32, loaded: Loaded) -> Mapped {
    let low = y_of(2u * at, decode(loaded.word, 0u), map.low);
    let high = y_of(2u * at + 1u, decode(loaded.word, 1u), map.high);
    let inside = vec2(is_inside(loaded.low), is_inside(loaded.high));
    return select(vec2(0.0), vec2(low, high), inside);
}
