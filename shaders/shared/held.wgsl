// needs: lanes, walk, next4
// What a lane keeps in registers of the one channel that it walks: at most HELD loads, 1, 2, 4 or 8 of them,
// all on their way at once. `Taken` is what the kernel takes at an address. No array: some compilers keep arrays
// in memory.
override HELD: u32;

struct Held {
    a: Taken,
    b: Taken,
    c: Taken,
    d: Taken,
    e: Taken,
    f: Taken,
    g: Taken,
    h: Taken,
}

// The addresses of a lane's loads. Behind its last it loads the channel's first, which it then leaves out.
struct Places {
    near: vec4<u32>,
    far: vec4<u32>,
}

fn places_of(lane: Lane) -> Places {
    var walker = walk(lane.local, lane.first);
    let first = vec4(address_of(lane.local, 0u));
    let len = vec4(lane.len);
    var places = Places(first, first);
    places.near = select(first, next4(&walker), vec4(0u, 1u, 2u, 3u) < len);
    if (HELD > 4u) {
        places.far = select(first, next4(&walker), vec4(4u, 5u, 6u, 7u) < len);
    }
    return places;
}

fn hold(source: Source, at: Places) -> Held {
    var held: Held;
    held.a = take(source, at.near.x);
    if (HELD > 1u) {
        held.b = take(source, at.near.y);
    }
    if (HELD > 2u) {
        held.c = take(source, at.near.z);
        held.d = take(source, at.near.w);
    }
    if (HELD > 4u) {
        held.e = take(source, at.far.x);
        held.f = take(source, at.far.y);
        held.g = take(source, at.far.z);
        held.h = take(source, at.far.w);
    }
    return held;
}

// What the loads are mapped to, all of it before the first store: it may read the residual. `put` is the
// kernel's.
fn write_held(lane: Lane, map: Map, held: Held, at: Places) {
    let to_a = mapped(map, at.near.x, held.a);
    var to_b: Value;
    var to_c: Value;
    var to_d: Value;
    if (HELD > 1u) {
        to_b = mapped(map, at.near.y, held.b);
    }
    if (HELD > 2u) {
        to_c = mapped(map, at.near.z, held.c);
        to_d = mapped(map, at.near.w, held.d);
    }
    var to_e: Value;
    var to_f: Value;
    var to_g: Value;
    var to_h: Value;
    if (HELD > 4u) {
        to_e = mapped(map, at.far.x, held.e);
        to_f = mapped(map, at.far.y, held.f);
        to_g = mapped(map, at.far.z, held.g);
        to_h = mapped(map, at.far.w, held.h);
    }
    let near = places_to_store(at.near);
    let far = places_to_store(at.far);
    if (lane.len > 0u) {
        put(near.x, to_a, held.a, map);
    }
    if (HELD > 1u && lane.len > 1u) {
        put(near.y, to_b, held.b, map);
    }
    if (HELD > 2u && lane.len > 2u) {
        put(near.z, to_c, held.c, map);
    }
    if (HELD > 2u && lane.len > 3u) {
        put(near.w, to_d, held.d, map);
    }
    if (HELD > 4u && lane.len > 4u) {
        put(far.x, to_e, held.e, map);
    }
    if (HELD > 4u && lane.len > 5u) {
        put(far.y, to_f, held.f, map);
    }
    if (HELD > 4u && lane.len > 6u) {
        put(far.z, to_g, held.g, map);
    }
    if (HELD > 4u && lane.len > 7u) {
        put(far.w, to_h, held.h, map);
    }
}
