// What maps dz and x̂ to dx = weight·inv_std·(dz − dbias/m − x̂·dweight/m).
struct Slope {
    mean_dz: PerChannel,
    mean_dz_x: PerChannel,
    scale: PerChannel,
    finite: Flag,
}

fn slope_of(s: Statistics, sums: Partial) -> Slope {
    let finite = s.finite & is_finite(sums.dz) & is_finite(sums.dz_x);
    return Slope(sums.dz / params.total, sums.dz_x / params.total, s.scale, finite);
}

fn dx_of(pair: Pair, s: Slope) -> Value {
    return ((pair.dz - s.mean_dz) - pair.xhat * s.mean_dz_x) * s.scale;
}

// dx over the lane's positions.
fn write_dx(
    lane: Lane,
    s: ptr<function, array<Statistics, COLUMNS>>,
    slopes: ptr<function, array<Slope, COLUMNS>>,
) {
    var walker = walk(lane.local, lane.first);
    var left = lane.len;
    if (COLUMNS == 1u) {
        let slope = (*slopes)[0];
        // All loads before all stores, as in `apply`.
        for (; left >= 4u; left -= 4u) {
            let at = next4(&walker);
            let a = load_pair(at.x, (*s)[0]);
            let b = load_pair(at.y, (*s)[0]);
            let c = load_pair(at.z, (*s)[0]);
            let d = load_pair(at.w, (*s)[0]);
            store(at.x, dx_of(a, slope), slope.finite);
            store(at.y, dx_of(b, slope), slope.finite);
            store(at.z, dx_of(c, slope), slope.finite);
            store(at.w, dx_of(d, slope), slope.finite);
        }
    }
    for (; left > 0u; left--) {
        let at = next(&walker);
        for (var k = 0u; k < COLUMNS; k++) {
            let here = at + k * params.columns;
            store(here, dx_of(load_pair(here, (*s)[k]), (*slopes)[k]), (*slopes)[k].finite);
        }
    }
}
