// A share of a channel: Σdy and Σdy·x̂.
struct Partial {
    dy: PerChannel,
    dy_x: PerChannel,
}

fn merge(a: Partial, b: Partial) -> Partial {
    return Partial(a.dy + b.dy, a.dy_x + b.dy_x);
}
