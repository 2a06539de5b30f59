// needs: half, decode
// Storage words of f16 and bf16 tensors where a load is one value: half a word. It is read alone, and
// written together with its neighbour (`flat`).
alias Word = u32;

fn word_of(at: u32) -> u32 {
    return at >> 1u;
}

fn shift_of(at: u32) -> u32 {
    return (at & 1u) * 16u;
}
