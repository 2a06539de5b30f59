// needs: element
// y or dx where two values, of any two lanes, share a word. Only a lane changes its half, so what it
// loads of that half is what stands there when it exchanges it; the other half may change meanwhile.
@group(0) @binding(2) var<storage, read_write> out: array<atomic<u32>>;

fn out_word(at: u32) -> Word {
    return atomicLoad(&out[word_of(at)]);
}

fn store(at: u32, value: Value, finite: Flag) {
    let place = word_of(at);
    atomicXor(&out[place], exchange(atomicLoad(&out[place]), at, value, finite));
}
