// needs: element, flat
// y or dx, a word at a time. Each word is one lane's alone.
@group(0) @binding(2) var<storage, read_write> out: array<Word>;

fn out_word(at: u32) -> Word {
    return out[word_of(at)];
}

fn store(at: u32, value: Mapped, finite: Flag) {
    if (writes_out()) {
        var word = packed(value, vec2(finite));
        if (at_an_end(at)) {
            let own = own_bits(at);
            word = (out[at] & ~own) | (word & own);
        }
        out[at] = word;
    }
}
