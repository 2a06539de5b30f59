// needs: element
// Gradient of the residual.
@group(0) @binding(11) var<storage, read_write> dresidual: array<Word>;

override DRESIDUAL: bool;

fn store_dresidual(at: u32, value: Value, finite: Flag) {
    if (DRESIDUAL) {
        dresidual[at] = encode(value, finite);
    }
}
