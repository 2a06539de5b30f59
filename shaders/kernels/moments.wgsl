// Training forward, first dispatch: partial moments of every channel about its pivot.
// `[C][splits]`.
@group(0) @binding(7) var<storage, read_write> partials: array<Stored>;

fn run(lane: Lane) {
    var pivots = pivots_of(lane);
    var parts = lane_moments(lane, &pivots);
    for (var k = 0u; k < COLUMNS; k++) {
        let whole = reduce(lane, parts[k], params.slots);
        if (lane.live && lane.slot == 0u) {
            partials[partial_of(column(lane, k))] = Stored(whole, pivots[k]);
        }
    }
}
