// needs: lanes, walk, out
// `out` over the positions of a lane that walks COLUMNS channels, `params.columns` apart.
alias Maps = array<Map, COLUMNS>;

fn write_lane(lane: Lane, maps: ptr<function, Maps>) {
    var walker = walk(lane.local, lane.first);
    for (var left = lane.len; left > 0u; left--) {
        let at = next(&walker);
        for (var k = 0u; k < COLUMNS; k++) {
            let here = at + k * params.columns;
            let value = mapped((*maps)[k], here, load_for((*maps)[k], here));
            store(here, value, Flag(true));
        }
    }
}
