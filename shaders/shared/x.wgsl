// needs: element
@group(0) @binding(1) var<storage, read_write> x: array<Word>;

fn x_at(at: u32) -> Value {
    return decode(x[word_of(at)], at);
}
