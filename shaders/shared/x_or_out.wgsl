// needs: element, out
// What a kernel maps to `out`, which may lie in its place: then only `out` is bound.
@group(0) @binding(1) var<storage, read_write> x: array<Word>;

override IN_PLACE: bool;

fn x_at(at: u32) -> Value {
    if (IN_PLACE) {
        return out_at(at);
    }
    return decode(x[word_of(at)], at);
}
