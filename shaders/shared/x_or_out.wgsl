// needs: element, out
// What a kernel maps to `out`, which may lie in its place: then only `out` is bound.
@group(0) @binding(1) var<storage, read_write> x: array<Word>;

override IN_PLACE: bool;

fn x_word(at: u32) -> Word {
    if (IN_PLACE) {
        return out_word(at);
    }
    return x[word_of(at)];
}

fn x_at(at: u32) -> Value {
    return decode(x_word(at), at);
}
