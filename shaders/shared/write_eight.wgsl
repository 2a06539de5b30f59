// needs: out
// Eight loads before the first store, as in `write_four`.
fn write_eight(map: Map, near: vec4<u32>, far: vec4<u32>) {
    let a = load_for(map, near.x);
    let b = load_for(map, near.y);
    let c = load_for(map, near.z);
    let d = load_for(map, near.w);
    let e = load_for(map, far.x);
    let f = load_for(map, far.y);
    let g = load_for(map, far.z);
    let h = load_for(map, far.w);
    let to_a = mapped(map, near.x, a);
    let to_b = mapped(map, near.y, b);
    let to_c = mapped(map, near.z, c);
    let to_d = mapped(map, near.w, d);
    let to_e = mapped(map, far.x, e);
    let to_f = mapped(map, far.y, f);
    let to_g = mapped(map, far.z, g);
    let to_h = mapped(map, far.w, h);
    let to = places_to_store(near);
    store(to.x, to_a, Flag(true));
    store(to.y, to_b, Flag(true));
    store(to.z, to_c, Flag(true));
    store(to.w, to_d, Flag(true));
    let beyond = places_to_store(far);
    store(beyond.x, to_e, Flag(true));
    store(beyond.y, to_f, Flag(true));
    store(beyond.z, to_g, Flag(true));
    store(beyond.w, to_h, Flag(true));
}
