// needs: lanes, walk, next4, parts
// Partials of the lane's channels. `add_tile` and `load_part` are the kernel's mathematics; the
// functions called here apply them to each channel that a lane walks.
fn lane_parts(lane: Lane, sources: ptr<function, Sources>) -> Parts {
    var walker = walk(lane.local, lane.first);
    var cascades: Cascades;
    // What the inner loop touches, nothing else does: compilers keep it in registers.
    var known = *sources;
    var left = lane.len;
    while (left >= 4u) {
        let tiles = min(left / 4u, 16u);
        // In words: Tint sets what has no initializer to zero once, not in every round.
        var units = Parts();
        for (var tile = 1u; tile <= tiles; tile++) {
            add_tiles(&units, &known, next4(&walker), tile);
        }
        left -= tiles * 4u;
        var done = units;
        push_parts(&cascades, &done);
    }
    for (; left > 0u; left--) {
        push_loads(&cascades, sources, next(&walker));
    }
    return totals(&cascades);
}
