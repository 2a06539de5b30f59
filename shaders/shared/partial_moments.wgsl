// A share of a channel: how many values, the mean of `x - pivot`, the sum of squares about it.
struct Partial {
    count: f32,
    offset: f32,
    m2: f32,
}

// Chan's formula. An empty side leaves the other as it is, bit for bit.
fn merge(a: Partial, b: Partial) -> Partial {
    if (a.count == 0.0) {
        return b;
    }
    if (b.count == 0.0) {
        return a;
    }
    let count = a.count + b.count;
    let share = b.count / count;
    let delta = b.offset - a.offset;
    return Partial(
        count,
        a.offset + delta * share,
        (a.m2 + b.m2) + delta * (delta * (a.count * share)),
    );
}

// The moments of sixteen values: sum, mean, squares about it, no division.
fn tile_moments(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) -> Partial {
    let mean = sum4((a + b) + (c + d)) * 0.0625;
    let ea = a - mean;
    let eb = b - mean;
    let ec = c - mean;
    let ed = d - mean;
    return Partial(16.0, mean, sum4((ea * ea + eb * eb) + (ec * ec + ed * ed)));
}
