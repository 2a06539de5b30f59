// needs: element
// y or dx.
@group(0) @binding(2) var<storage, read_write> out: array<Word>;

fn out_word(at: u32) -> Word {
    return out[word_of(at)];
}

fn store(at: u32, value: Value, finite: Flag) {
    out[at] = encode(value, finite);
}
