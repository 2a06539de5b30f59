// needs: load
// A share of a channel: how many values, the mean of `x - pivot`, the sum of squares about it.
struct Partial {
    count: f32,
    offset: PerChannel,
    m2: PerChannel,
}

// As stored between two dispatches.
struct Stored {
    moments: Partial,
    pivot: PerChannel,
}

// Chan's formula, where `b` is `share` of the two: an empty `a` leaves `b` as it is, bit for bit.
fn merge_share(a: Partial, b: Partial, share: f32) -> Partial {
    let delta = b.offset - a.offset;
    return Partial(
        a.count + b.count,
        a.offset + delta * share,
        (a.m2 + b.m2) + delta * (delta * (a.count * share)),
    );
}

// An empty side leaves the other as it is, bit for bit.
fn merge(a: Partial, b: Partial) -> Partial {
    if (a.count == 0.0) {
        return b;
    }
    if (b.count == 0.0) {
        return a;
    }
    return merge_share(a, b, b.count / (a.count + b.count));
}

// The moments of four loads: sum, mean, squares about it, no division.
fn tile_moments(a: Value, b: Value, c: Value, d: Value) -> Partial {
    let mean = fold((a + b) + (c + d)) * (0.25 / VALUES);
    let ea = a - mean;
    let eb = b - mean;
    let ec = c - mean;
    let ed = d - mean;
    return Partial(4.0 * VALUES, mean, fold((ea * ea + eb * eb) + (ec * ec + ed * ed)));
}

// The moments of one load.
fn load_moments(v: Value) -> Partial {
    let mean = fold(v) * (1.0 / VALUES);
    let e = v - mean;
    return Partial(VALUES, mean, fold(e * e));
}
