// Partial sums of the lane's workgroup, stored.
fn write_sums(lane: Lane, s: ptr<function, array<Statistics, COLUMNS>>) {
    var parts = lane_sums(lane, s);
    for (var k = 0u; k < COLUMNS; k++) {
        let whole = reduce(lane, parts[k], params.slots);
        if (lane.live && lane.slot == 0u) {
            let dz_x = or_nan(whole.dz_x, (*s)[k].finite);
            partials[partial_of(column(lane, k))] = Partial(whole.dz, dz_x);
        }
    }
}
