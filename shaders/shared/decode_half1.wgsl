// needs: widen
fn decode(word: Word, at: u32) -> Value {
    return widen(word >> shift_of(at));
}
