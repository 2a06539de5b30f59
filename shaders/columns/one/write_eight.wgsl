// needs: lanes, walk, next4, write_four, write_eight
// `out` over the positions of a lane that walks one channel, where a load has 8 bytes: eight loads are on their way
// before the first store.
fn write_lane(lane: Lane, map: Map) {
    var walker = walk(lane.local, lane.first);
    var left = lane.len;
    for (var round = rounds() / 2u; round > 0u; round--) {
        if (left >= 8u) {
            let near = next4(&walker);
            write_eight(map, near, next4(&walker));
            left -= 8u;
        }
    }
    if (left >= 4u) {
        write_four(map, next4(&walker), 4u);
        left -= 4u;
    }
    if (left > 0u) {
        write_four(map, first_of4(next4(&walker), left), left);
    }
}
