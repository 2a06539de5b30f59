// Partial Σdz and Σdz·x̂ of the lane's channels. `visit` sees every pair on the way.
fn lane_sums(
    lane: Lane,
    statistics: ptr<function, array<Statistics, COLUMNS>>,
) -> array<Partial, COLUMNS> {
    var walker = walk(lane.local, lane.first);
    var cascades: array<Cascade, COLUMNS>;
    // What the inner loop touches, nothing else does: compilers keep it in registers.
    var s = *statistics;
    var left = lane.len;
    while (left >= 4u) {
        let tiles = min(left / 4u, 16u);
        // In words: Tint sets what has no initializer to zero once, not in every round.
        var units = array<Partial, COLUMNS>();
        for (var tile = 0u; tile < tiles; tile++) {
            let first = next4(&walker);
            for (var k = 0u; k < COLUMNS; k++) {
                let at = first + k * params.columns;
                let a = load_pair(at.x, s[k]);
                let b = load_pair(at.y, s[k]);
                let c = load_pair(at.z, s[k]);
                let d = load_pair(at.w, s[k]);
                let dz = (a.dz + b.dz) + (c.dz + d.dz);
                let dz_x = (a.dz * a.xhat + b.dz * b.xhat) + (c.dz * c.xhat + d.dz * d.xhat);
                units[k] = merge(units[k], Partial(fold(dz), fold(dz_x)));
                visit(at.x, a, s[k]);
                visit(at.y, b, s[k]);
                visit(at.z, c, s[k]);
                visit(at.w, d, s[k]);
            }
        }
        left -= tiles * 4u;
        var done = units;
        for (var k = 0u; k < COLUMNS; k++) {
            cascades[k] = push(cascades[k], done[k]);
        }
    }
    for (; left > 0u; left--) {
        let at = next(&walker);
        for (var k = 0u; k < COLUMNS; k++) {
            let here = at + k * params.columns;
            let pair = load_pair(here, (*statistics)[k]);
            cascades[k] = push(cascades[k], Partial(fold(pair.dz), fold(pair.dz * pair.xhat)));
            visit(here, pair, (*statistics)[k]);
        }
    }
    return totals(&cascades);
}
