// What maps dy and x̂ to dx = weight·inv_std·(dy − dbias/m − x̂·dweight/m).
struct Slope {
    mean_dy: PerChannel,
    mean_dy_x: PerChannel,
    scale: PerChannel,
    finite: Flag,
}

// The channel's slope; its gradients are written on the way.
fn slope_of(lane: Lane, s: Statistics, sums: Partial) -> Slope {
    let finite = s.finite & is_finite(sums.dy) & is_finite(sums.dy_x);
    write_gradients(lane, sums, finite);
    let scale = s.inv_std * weight_of(lane.channel);
    return Slope(sums.dy / params.total, sums.dy_x / params.total, scale, finite);
}

fn dx_of(pair: Pair, s: Slope) -> Word {
    return encode(((pair.dy - s.mean_dy) - pair.xhat * s.mean_dy_x) * s.scale, s.finite);
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
        // All loads before all stores, as in `apply`.
        for (; left >= 4u; left -= 4u) {
            let at = next4(&walker);
            let a = load_pair(at.x, (*s)[0]);
            let b = load_pair(at.y, (*s)[0]);
            let c = load_pair(at.z, (*s)[0]);
            let d = load_pair(at.w, (*s)[0]);
            dx[at.x] = dx_of(a, (*slopes)[0]);
            dx[at.y] = dx_of(b, (*slopes)[0]);
            dx[at.z] = dx_of(c, (*slopes)[0]);
            dx[at.w] = dx_of(d, (*slopes)[0]);
        }
    }
    for (; left > 0u; left--) {
        let at = next(&walker);
        for (var k = 0u; k < COLUMNS; k++) {
            let here = at + k * params.columns;
            dx[here] = dx_of(load_pair(here, (*s)[k]), (*slopes)[k]);
        }
    }
}
