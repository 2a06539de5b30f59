// Partial moments of the lane's channels about their pivots.
fn lane_moments(
    lane: Lane,
    pivots: ptr<function, array<PerChannel, COLUMNS>>,
) -> array<Partial, COLUMNS> {
    var walker = walk(lane.local, lane.first);
    var cascades: array<Cascade, COLUMNS>;
    // What the inner loop touches, nothing else does: compilers keep it in registers.
    var pivot = *pivots;
    var left = lane.len;
    while (left >= 4u) {
        let tiles = min(left / 4u, 16u);
        // In words: Tint sets what has no initializer to zero once, not in every round.
        var units = array<Partial, COLUMNS>();
        for (var tile = 1u; tile <= tiles; tile++) {
            let share = 1.0 / f32(tile);
            let first = next4(&walker);
            for (var k = 0u; k < COLUMNS; k++) {
                let at = first + k * params.columns;
                let a = centered(x_at(at.x), pivot[k]);
                let b = centered(x_at(at.y), pivot[k]);
                let c = centered(x_at(at.z), pivot[k]);
                let d = centered(x_at(at.w), pivot[k]);
                units[k] = merge_share(units[k], tile_moments(a, b, c, d), share);
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
            let value = centered(x_at(at + k * params.columns), (*pivots)[k]);
            cascades[k] = push(cascades[k], load_moments(value));
        }
    }
    return totals(&cascades);
}
