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
fn write_four(map: Map, at: vec4<u32>, count: u32) {
    let a = load_for(map, at.x);
    let b = load_for(map, at.y);
    let c = load_for(map, at.z);
    let d = load_for(map, at.w);
    let to_a = mapped(map, at.x, a);
    let to_b = mapped(map, at.y, b);
    let to_c = mapped(map, at.z, c);
    let to_d = mapped(map, at.w, d);
    store(at.x, to_a, map.finite);
    if (count > 1u) {
        store(at.y, to_b, map.finite);
    }
    if (count > 2u) {
        store(at.z, to_c, map.finite);
    }
    if (count > 3u) {
        store(at.w, to_d, map.finite);
    }
}
