// needs: element
@group(0) @binding(1) var<storage, read_write> x: array<Word>;

fn x_word(at: u32) -> Word {
    return x[word_of(at)];
}

fn x_at(at: u32) -> Value {
    return decode(x_word(at), at);
}
