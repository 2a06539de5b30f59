// needs: lanes, walk, next4, parts
// Partials of the lane's channels. `add_tile`, `load_one` and `part_of` are the kernel's mathematics; the
// functions called here apply them to each channel that a lane walks.
fn lane_parts(lane: Lane, sources: ptr<function, Sources>) -> Parts {
    var walker = walk(lane.local, lane.first);
    var cascades: Cascades;
    // What the inner loop touches, nothing else does: compilers keep it in registers.
    var known = *sources;
    var left = lane.len;
    for (var rounds = rounds(); rounds > 0u;) {
        let now = min(rounds, 16u);
        // In words: Tint sets what has no initializer to zero once, not in every round.
        var unit = Parts();
        let before = left;
        for (var tile = 1u; tile <= now; tile++) {
            if (left >= 4u) {
                add_tiles(&unit, &known, next4(&walker), tile);
                left -= 4u;
            }
        }
        if (left != before) {
            push_parts(&cascades, &unit, lane);
        }
        rounds -= now;
    }
    if (left > 0u) {
        push_loads(&cascades, &known, next4(&walker), left, lane);
    }
    return totals(&cascades, lane);
}
