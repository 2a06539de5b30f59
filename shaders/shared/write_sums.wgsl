// Partial sums of the lane's workgroup, stored.
fn write_sums(
    lane: Lane,
    s: ptr<function, array<Statistics, COLUMNS>>,
    scale: ptr<function, array<PerChannel, COLUMNS>>,
) {
    var parts = lane_sums(lane, s, scale);
    for (var k = 0u; k < COLUMNS; k++) {
        let whole = reduce(lane, parts[k], params.slots);
        if (lane.live && lane.slot == 0u) {
            let dy_x = or_nan(whole.dy_x, (*s)[k].finite);
            partials[partial_of(column(lane, k))] = Partial(whole.dy, dy_x);
        }
    }
}
