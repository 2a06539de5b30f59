// needs: lanes, next4, reduce_workgroup
// Partials of a lane that walks one channel. No array: some compilers keep arrays that a loop
// indexes in memory.
alias Sources = Source;
alias Parts = Partial;
alias Cascades = Cascade;

fn sources_of(lane: Lane) -> Sources {
    return source_of(lane);
}

fn add_tiles(
    parts: ptr<function, Parts>,
    sources: ptr<function, Sources>,
    at: vec4<u32>,
    tile: u32,
) {
    *parts = add_tile(*parts, *sources, at, tile);
}

fn push_parts(cascades: ptr<function, Cascades>, parts: ptr<function, Parts>, lane: Lane) {
    *cascades = push(*cascades, *parts, lane);
}

// The first `count` of four loads, one to three, each a part of its own. All are read at once.
fn push_loads(
    cascades: ptr<function, Cascades>,
    sources: ptr<function, Sources>,
    at: vec4<u32>,
    count: u32,
    lane: Lane,
) {
    let here = first_of4(at, count);
    let a = load_one(*sources, here.x);
    let b = load_one(*sources, here.y);
    let c = load_one(*sources, here.z);
    *cascades = push(*cascades, part_of(*sources, here.x, a), lane);
    if (count > 1u) {
        *cascades = push(*cascades, part_of(*sources, here.y, b), lane);
    }
    if (count > 2u) {
        *cascades = push(*cascades, part_of(*sources, here.z, c), lane);
    }
}

fn totals(cascades: ptr<function, Cascades>, lane: Lane) -> Parts {
    return total(*cascades, lane);
}
