// Storage words of f32 tensors.
alias Word = ValueBits;

fn decode(word: Word) -> Value {
    return bitcast<Value>(word);
}

// NaN is stored as bits: arithmetic may assume that there is none.
fn encode(value: Value, finite: Flag) -> Word {
    return select(Word(nan_bits()), bitcast<Word>(value), finite);
}
