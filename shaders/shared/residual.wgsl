// What is added before the activation.
@group(0) @binding(10) var<storage, read_write> residual: array<Word>;

fn with_residual(at: u32, z: Value) -> Value {
    if (has(HAS_RESIDUAL)) {
        return z + decode(residual[word_of(at)], at);
    }
    return z;
}
