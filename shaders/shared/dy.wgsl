// needs: element
@group(0) @binding(3) var<storage, read_write> dy: array<Word>;

fn dy_word(at: u32) -> Word {
    return dy[word_of(at)];
}

fn dy_at(at: u32) -> Value {
    return decode(dy_word(at), at);
}
