// needs: lanes, walk, next4, out
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

// The first `count` of four. All loads before all stores: x and `out` might overlap for all a compiler knows.
// What is not finite is NaN already, by its scale.
fn write_four(map: Map, at: vec4<u32>, count: u32) {
    let mapped = mapped_four(map, at);
    let to = places_to_store(at);
    store(to.x, mapped.a, Flag(true));
    if (count > 1u) {
        store(to.y, mapped.b, Flag(true));
    }
    if (count > 2u) {
        store(to.z, mapped.c, Flag(true));
    }
    if (count > 3u) {
        store(to.w, mapped.d, Flag(true));
    }
}
