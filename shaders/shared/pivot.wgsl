fn sample(channel: u32, position: u32) -> f32 {
    return decode(x[address_of(channel, position)]);
}

// The median of five samples spread over the channel: an actual value near the middle, whatever
// hot pixels or borders there are.
fn pivot_of(channel: u32) -> f32 {
    let last = params.count - 1u;
    let a = sample(channel, 0u);
    let b = sample(channel, last / 4u);
    let c = sample(channel, last / 2u);
    let d = sample(channel, last - last / 4u);
    let e = sample(channel, last);
    let low = max(min(a, b), min(c, d));
    let high = min(max(a, b), max(c, d));
    return max(min(low, high), min(max(low, high), e));
}
