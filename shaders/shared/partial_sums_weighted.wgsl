// needs: load
// A share of a channel: Σdz, Σdz·x̂ and Σw.
struct Partial {
    dz: PerChannel,
    dz_x: PerChannel,
    weight: f32,
}

fn merge(a: Partial, b: Partial) -> Partial {
    return Partial(a.dz + b.dz, a.dz_x + b.dz_x, a.weight + b.weight);
}
