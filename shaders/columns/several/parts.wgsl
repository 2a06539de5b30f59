// needs: lanes, reduce_workgroup
// Partials of a lane that walks COLUMNS channels, `params.columns` apart.
alias Sources = array<Source, COLUMNS>;
alias Parts = array<Partial, COLUMNS>;
alias Cascades = array<Cascade, COLUMNS>;

fn sources_of(lane: Lane) -> Sources {
    var sources: Sources;
    for (var k = 0u; k < COLUMNS; k++) {
        sources[k] = source_of(column(lane, k));
    }
    return sources;
}

fn add_tiles(
    parts: ptr<function, Parts>,
    sources: ptr<function, Sources>,
    at: vec4<u32>,
    tile: u32,
) {
    for (var k = 0u; k < COLUMNS; k++) {
        (*parts)[k] = add_tile((*parts)[k], (*sources)[k], at + k * params.columns, tile);
    }
}

fn push_parts(cascades: ptr<function, Cascades>, parts: ptr<function, Parts>, lane: Lane) {
    for (var k = 0u; k < COLUMNS; k++) {
        (*cascades)[k] = push((*cascades)[k], (*parts)[k], lane);
    }
}

// The first `count` of four loads, one to three, each a part of its own.
fn push_loads(
    cascades: ptr<function, Cascades>,
    sources: ptr<function, Sources>,
    at: vec4<u32>,
    count: u32,
    lane: Lane,
) {
    for (var load = 0u; load < count; load++) {
        for (var k = 0u; k < COLUMNS; k++) {
            let here = at[load] + k * params.columns;
            let part = part_of((*sources)[k], here, load_one((*sources)[k], here));
            (*cascades)[k] = push((*cascades)[k], part, lane);
        }
    }
}

fn totals(cascades: ptr<function, Cascades>, lane: Lane) -> Parts {
    var parts: Parts;
    for (var k = 0u; k < COLUMNS; k++) {
        parts[k] = total((*cascades)[k], lane);
    }
    return parts;
}
