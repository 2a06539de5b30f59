// needs: x, y, flat, mapped_four
// What is mapped to the two y of a word.
struct Map {
    low: Statistics,
    high: Statistics,
}

fn writes_out() -> bool {
    return true;
}

alias Loaded = Word;

fn load_for(map: Map, at: u32) -> Loaded {
    return x_word(2u * at);
}

fn mapped(map: Map, at: u32, word: Loaded) -> Mapped {
    let low = y_of(2u * at, decode(word, 0u), map.low);
    return vec2(low, y_of(2u * at + 1u, decode(word, 1u), map.high));
}
