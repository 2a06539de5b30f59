// As the device was proved to read them.
fn decode(word: Word, at: u32) -> Value {
    return vec4(unpack2x16float(word.x), unpack2x16float(word.y));
}
