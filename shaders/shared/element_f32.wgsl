// needs: load, numerics
// Storage words of f32 tensors: a load each.
alias Word = ValueBits;

fn word_of(at: u32) -> u32 {
    return at;
}

fn decode(word: Word, at: u32) -> Value {
    return bitcast<Value>(word);
}

// NaN is stored as bits: arithmetic may assume that there is none.
fn encode(value: Value, finite: Flag) -> Word {
    return select(Word(nan_bits()), bitcast<Word>(value), finite);
}
