// Partial Σdy and Σdy·x̂ of the lane's channels. `visit` sees every pair on the way, with the scale
// given here.
fn lane_sums(
    lane: Lane,
    statistics: ptr<function, array<Statistics, COLUMNS>>,
    scales: ptr<function, array<PerChannel, COLUMNS>>,
) -> array<Partial, COLUMNS> {
    var walker = walk(lane.local, lane.first);
    var cascades: array<Cascade, COLUMNS>;
    // What the inner loop touches, nothing else does: compilers keep it in registers.
    var s = *statistics;
    var scale = *scales;
    var left = lane.len;
    while (left >= 4u) {
        let tiles = min(left / 4u, 16u);
        var units: array<Partial, COLUMNS>;
        for (var tile = 0u; tile < tiles; tile++) {
            let first = next4(&walker);
            for (var k = 0u; k < COLUMNS; k++) {
                let at = first + k * params.columns;
                let a = load_pair(at.x, s[k]);
                let b = load_pair(at.y, s[k]);
                let c = load_pair(at.z, s[k]);
                let d = load_pair(at.w, s[k]);
                let dy = (a.dy + b.dy) + (c.dy + d.dy);
                let dy_x = (a.dy * a.xhat + b.dy * b.xhat) + (c.dy * c.xhat + d.dy * d.xhat);
                units[k] = merge(units[k], Partial(fold(dy), fold(dy_x)));
                visit(at.x, a, scale[k], s[k].finite);
                visit(at.y, b, scale[k], s[k].finite);
                visit(at.z, c, scale[k], s[k].finite);
                visit(at.w, d, scale[k], s[k].finite);
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
            let pair = load_pair(at + k * params.columns, (*statistics)[k]);
            cascades[k] = push(cascades[k], Partial(fold(pair.dy), fold(pair.dy * pair.xhat)));
            visit(at + k * params.columns, pair, (*scales)[k], (*statistics)[k].finite);
        }
    }
    return totals(&cascades);
}
