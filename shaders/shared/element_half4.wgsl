// needs: half, decode
// Storage words of f16 and bf16 tensors where a load is four values: two words.
alias Word = vec2<u32>;

fn word_of(at: u32) -> u32 {
    return at;
}

fn encode(value: Value, finite: Flag) -> Word {
    let half = narrow(value, finite);
    return half.xz | (half.yw << vec2(16u));
}
