// needs: half, decode
// Storage words of f16 and bf16 tensors where a load is one value: half a word.
alias Word = u32;

fn word_of(at: u32) -> u32 {
    return at >> 1u;
}

fn shift_of(at: u32) -> u32 {
    return (at & 1u) * 16u;
}

// The bits of `word` that have to change for its half at `at` to hold the value.
fn exchange(word: Word, at: u32, value: Value, finite: Flag) -> u32 {
    let old = (word >> shift_of(at)) & 0xffffu;
    return (old ^ narrow(value, finite)) << shift_of(at);
}
