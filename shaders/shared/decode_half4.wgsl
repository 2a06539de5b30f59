// needs: widen
fn decode(word: Word, at: u32) -> Value {
    let high = word >> vec2(16u);
    return widen(ValueBits(word.x, high.x, word.y, high.y));
}
