// needs: lanes, walk, next4, parts, eight_moments
// Partials of the lane's channels. `add_tile`, `load_one` and `part_of` are the kernel's mathematics; the
// functions called here apply them to each channel that a lane walks. Where a load has 8 bytes, two tiles at once.
fn lane_parts(lane: Lane, sources: ptr<function, Sources>) -> Parts {
    var walker = walk(lane.local, lane.first);
    var cascades: Cascades;
    // What the inner loop touches, nothing else does: compilers keep it in registers.
    var known = *sources;
    var left = lane.len;
    for (var rounds = rounds() / 2u; rounds > 0u;) {
        let now = min(rounds, 8u);
        // In words: Tint sets what has no initializer to zero once, not in every round.
        var unit = Parts();
        let before = left;
        for (var two = 1u; two <= now; two++) {
            if (left >= 8u) {
                let near = next4(&walker);
                unit = add_two_tiles(unit, known, near, next4(&walker), two);
                left -= 8u;
            }
        }
        if (left != before) {
            push_parts(&cascades, &unit, lane);
        }
        rounds -= now;
    }
    if (left >= 4u) {
        var unit = Parts();
        add_tiles(&unit, &known, next4(&walker), 1u);
        push_parts(&cascades, &unit, lane);
        left -= 4u;
    }
    if (left > 0u) {
        push_loads(&cascades, &known, next4(&walker), left, lane);
    }
    return totals(&cascades, lane);
}
