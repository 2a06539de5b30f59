// As the device was proved to read it.
fn decode(word: Word, at: u32) -> Value {
    return unpack2x16float(word >> shift_of(at)).x;
}
