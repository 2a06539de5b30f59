// Storage words of f32 tensors.
fn decode(word: u32) -> f32 {
    return bitcast<f32>(word);
}

fn encode(value: f32) -> u32 {
    return bitcast<u32>(value);
}
