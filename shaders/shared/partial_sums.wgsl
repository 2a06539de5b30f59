// A share of a channel: Σdy and Σdy·x̂.
struct Partial {
    dy: f32,
    dy_x: f32,
}

fn merge(a: Partial, b: Partial) -> Partial {
    return Partial(a.dy + b.dy, a.dy_x + b.dy_x);
}
