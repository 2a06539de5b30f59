// needs: lanes, walk, next4, out
// `out` over the positions of a lane that walks one channel.
fn write_lane(lane: Lane, map: Map) {
    var walker = walk(lane.local, lane.first);
    var left = lane.len;
    // All loads before all stores: x and `out` might overlap for all a compiler knows.
    for (; left >= 4u; left -= 4u) {
        let at = next4(&walker);
        let a = load_for(map, at.x);
        let b = load_for(map, at.y);
        let c = load_for(map, at.z);
        let d = load_for(map, at.w);
        let to_a = mapped(map, at.x, a);
        let to_b = mapped(map, at.y, b);
        let to_c = mapped(map, at.z, c);
        let to_d = mapped(map, at.w, d);
        store(at.x, to_a, map.finite);
        store(at.y, to_b, map.finite);
        store(at.z, to_c, map.finite);
        store(at.w, to_d, map.finite);
    }
    for (; left > 0u; left--) {
        let at = next(&walker);
        store(at, mapped(map, at, load_for(map, at)), map.finite);
    }
}
