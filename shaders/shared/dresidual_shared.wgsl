// needs: element
// Gradient of the residual where two values share a word, as in `out_shared`.
@group(0) @binding(11) var<storage, read_write> dresidual: array<atomic<u32>>;

override DRESIDUAL: bool;

fn store_dresidual(at: u32, value: Value, finite: Flag) {
    if (DRESIDUAL) {
        let place = word_of(at);
        atomicXor(&dresidual[place], exchange(atomicLoad(&dresidual[place]), at, value, finite));
    }
}
