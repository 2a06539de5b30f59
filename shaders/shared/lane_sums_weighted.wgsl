// needs: partial_sums, gradient_pair
// Partial Σdz, Σdz·x̂ and Σw of a channel. `visit` sees every pair on the way.
alias Source = Statistics;

// With four loads more.
fn add_tile(part: Partial, s: Source, at: vec4<u32>, tile: u32) -> Partial {
    let a = load_pair(at.x, s);
    let b = load_pair(at.y, s);
    let c = load_pair(at.z, s);
    let d = load_pair(at.w, s);
    let dz = (a.dz + b.dz) + (c.dz + d.dz);
    let dz_x = (a.dz * a.xhat + b.dz * b.xhat) + (c.dz * c.xhat + d.dz * d.xhat);
    let weight = sum_of((a.weight + b.weight) + (c.weight + d.weight));
    let to = places_to_store(at);
    visit(to.x, a, s);
    visit(to.y, b, s);
    visit(to.z, c, s);
    visit(to.w, d, s);
    return merge(part, Partial(fold(dz), fold(dz_x), weight));
}

fn load_one(s: Source, at: u32) -> Pair {
    return load_pair(at, s);
}

fn part_of(s: Source, at: u32, pair: Pair) -> Partial {
    visit(at, pair, s);
    return Partial(fold(pair.dz), fold(pair.dz * pair.xhat), sum_of(pair.weight));
}
