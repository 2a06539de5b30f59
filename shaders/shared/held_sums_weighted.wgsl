// needs: partial_sums, gradient_pair, held
// The sums of what a lane holds.
alias Source = Statistics;
alias Taken = Pair;

fn take(s: Source, at: u32) -> Taken {
    return load_pair(at, s);
}

fn product(pair: Pair) -> Value {
    return pair.dz * pair.xhat;
}

fn pair_or_none(pair: Pair, there: bool) -> Pair {
    return Pair(
        select(Value(0.0), pair.xhat, there),
        select(Value(0.0), pair.dz, there),
        select(Weight(0.0), pair.weight, there),
    );
}

fn held_sums(held: Held, len: u32) -> Partial {
    let a = pair_or_none(held.a, len > 0u);
    let b = pair_or_none(held.b, HELD > 1u && len > 1u);
    let c = pair_or_none(held.c, HELD > 2u && len > 2u);
    let d = pair_or_none(held.d, HELD > 2u && len > 3u);
    let e = pair_or_none(held.e, HELD > 4u && len > 4u);
    let f = pair_or_none(held.f, HELD > 4u && len > 5u);
    let g = pair_or_none(held.g, HELD > 4u && len > 6u);
    let h = pair_or_none(held.h, HELD > 4u && len > 7u);
    let dz = ((a.dz + b.dz) + (c.dz + d.dz)) + ((e.dz + f.dz) + (g.dz + h.dz));
    let near = (product(a) + product(b)) + (product(c) + product(d));
    let dz_x = near + ((product(e) + product(f)) + (product(g) + product(h)));
    let near_weight = (a.weight + b.weight) + (c.weight + d.weight);
    let weight = near_weight + ((e.weight + f.weight) + (g.weight + h.weight));
    return Partial(fold(dz), fold(dz_x), sum_of(weight));
}
