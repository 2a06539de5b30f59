// needs: lanes, walk, next4, write_four
// `out` over the positions of a lane that walks one channel.
fn write_lane(lane: Lane, map: Map) {
    var walker = walk(lane.local, lane.first);
    var left = lane.len;
    for (var round = rounds(); round > 0u; round--) {
        if (left >= 4u) {
            write_four(map, next4(&walker), 4u);
            left -= 4u;
        }
    }
    if (left > 0u) {
        write_four(map, first_of4(next4(&walker), left), left);
    }
}
