// What four pairs of loads of 16 bytes are mapped to.
struct Four {
    a: Mapped,
    b: Mapped,
    c: Mapped,
    d: Mapped,
}

// Two pairs are four loads in flight.
fn mapped_four(map: Map, at: vec4<u32>) -> Four {
    let a = load_for(map, at.x);
    let b = load_for(map, at.y);
    let to_a = mapped(map, at.x, a);
    let to_b = mapped(map, at.y, b);
    let c = load_for(map, at.z);
    let d = load_for(map, at.w);
    return Four(to_a, to_b, mapped(map, at.z, c), mapped(map, at.w, d));
}
