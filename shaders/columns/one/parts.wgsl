// needs: lanes, reduce_workgroup
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

fn push_parts(cascades: ptr<function, Cascades>, parts: ptr<function, Parts>) {
    *cascades = push(*cascades, *parts);
}

fn push_loads(cascades: ptr<function, Cascades>, sources: ptr<function, Sources>, at: u32) {
    *cascades = push(*cascades, load_part(*sources, at));
}

fn totals(cascades: ptr<function, Cascades>) -> Parts {
    return total(*cascades);
}
