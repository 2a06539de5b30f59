// Gradient of the residual.
@group(0) @binding(11) var<storage, read_write> dresidual: array<Word>;

fn store_dresidual(at: u32, value: Value, finite: Flag) {
    if (has(HAS_DRESIDUAL)) {
        dresidual[at] = encode(value, finite);
    }
}
