// needs: out
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
