// needs: element
// What is added before the activation.
@group(0) @binding(10) var<storage, read_write> residual: array<Word>;

override RESIDUAL: bool;

fn with_residual(at: u32, z: Value) -> Value {
    if (RESIDUAL) {
        return z + decode(residual[word_of(at)], at);
    }
    return z;
}
