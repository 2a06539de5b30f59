// needs: half
// Storage words of f16 and bf16 tensors where a load is four values: two words.
alias Word = vec2<u32>;

fn word_of(at: u32) -> u32 {
    return at;
}

fn decode(word: Word, at: u32) -> Value {
    if (PROVED) {
        return vec4(unpack2x16float(word.x), unpack2x16float(word.y));
    }
    let low = word & vec2(0xffffu);
    let high = word >> vec2(16u);
    return widen(ValueBits(low.x, high.x, low.y, high.y));
}

fn encode(value: Value, finite: Flag) -> Word {
    let half = narrow(value, finite);
    return half.xz | (half.yw << vec2(16u));
}
