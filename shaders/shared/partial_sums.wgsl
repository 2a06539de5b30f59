// needs: load
// A share of a channel: Σdz and Σdz·x̂.
struct Partial {
    dz: PerChannel,
    dz_x: PerChannel,
}

fn merge(a: Partial, b: Partial) -> Partial {
    return Partial(a.dz + b.dz, a.dz_x + b.dz_x);
}
