// needs: numerics, partial_sums, gradient_pair
// What maps dz and x̂ to dx = weight·inv_std·(dz − dbias/m − x̂·dweight/m).
struct Map {
    statistics: Statistics,
    mean_dz: PerChannel,
    mean_dz_x: PerChannel,
    // Of the statistics and both sums.
    finite: Flag,
}

alias Loaded = Pair;

fn dx_map(s: Statistics, sums: Partial) -> Map {
    let finite = s.finite & is_finite(sums.dz) & is_finite(sums.dz_x);
    var statistics = s;
    statistics.scale = or_nan(s.scale, finite);
    return Map(statistics, sums.dz / params.total, sums.dz_x / params.total, finite);
}

fn load_for(map: Map, at: u32) -> Loaded {
    return load_pair(at, map.statistics);
}

fn mapped(map: Map, at: u32, pair: Loaded) -> Value {
    return ((pair.dz - map.mean_dz) - pair.xhat * map.mean_dz_x) * map.statistics.scale;
}

struct Four {
    a: Value,
    b: Value,
    c: Value,
    d: Value,
}

// Two pairs are four loads in flight.
fn mapped_four(map: Map, at: vec4<u32>) -> Four {
    let a = load_for(map, at.x);
    let b = load_for(map, at.y);
    let to_a = mapped(map, at.x, a);
    let to_b = mapped(map, at.y, b);
    let c = load_for(map, at.z);
    let d = load_for(map, at.w);
    return Four(to_a, to_b, mapped(map, at.z, c), mapped(map, at.w, d));
}
