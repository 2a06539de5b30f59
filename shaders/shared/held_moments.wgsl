// needs: numerics, x, partial_moments, held
// The moments of what a lane holds.
alias Source = PerChannel;
alias Taken = Value;

fn take(first: Source, at: u32) -> Taken {
    return x_at(at);
}

// The mean is found about the channel's first value.
fn held_start(lane: Lane, x: Held, first: PerChannel) -> PerChannel {
    return first;
}

// The held values less `pivot`, and 0 where the lane has none.
fn held_about(x: Held, pivot: PerChannel, len: u32) -> Held {
    let none = Value(0.0);
    return Held(
        select(none, centered(x.a, pivot), len > 0u),
        select(none, centered(x.b, pivot), HELD > 1u && len > 1u),
        select(none, centered(x.c, pivot), HELD > 2u && len > 2u),
        select(none, centered(x.d, pivot), HELD > 2u && len > 3u),
        select(none, centered(x.e, pivot), HELD > 4u && len > 4u),
        select(none, centered(x.f, pivot), HELD > 4u && len > 5u),
        select(none, centered(x.g, pivot), HELD > 4u && len > 6u),
        select(none, centered(x.h, pivot), HELD > 4u && len > 7u),
    );
}

// `e` is about some pivot.
fn held_mean(e: Held, len: u32) -> Partial {
    let near = (e.a + e.b) + (e.c + e.d);
    let sum = fold(near + ((e.e + e.f) + (e.g + e.h)));
    let count = f32(len) * VALUES;
    return Partial(count, sum / max(count, 1.0), PerChannel(0.0));
}

fn held_moments(e: Held, len: u32) -> Partial {
    var part = held_mean(e, len);
    let d = held_about(e, part.offset, len);
    let near = (d.a * d.a + d.b * d.b) + (d.c * d.c + d.d * d.d);
    part.m2 = fold(near + ((d.e * d.e + d.f * d.f) + (d.g * d.g + d.h * d.h)));
    return part;
}
