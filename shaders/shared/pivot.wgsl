// needs: walk, x
fn sample(channel: u32, fraction: f32) -> PerChannel {
    let last = params.count - 1u;
    return first_of(x_at(address_of(channel, min(u32(f32(last) * fraction), last))));
}

// The median of five samples spread over the channel: an actual value of where most values are,
// whatever hot pixels or borders there are. The fractions are multiples of the golden ratio, so
// that no row length makes all samples fall into one column of an image.
fn pivot_of(channel: u32) -> PerChannel {
    let a = sample(channel, 0.0901699);
    let b = sample(channel, 0.2360680);
    let c = sample(channel, 0.4721360);
    let d = sample(channel, 0.6180340);
    let e = sample(channel, 0.8541020);
    let low = max(min(a, b), min(c, d));
    let high = min(max(a, b), max(c, d));
    return max(min(low, high), min(max(low, high), e));
}
