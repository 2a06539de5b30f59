// needs: parts, lane_parts
// A kernel that reduces the lane's channels and stores a partial of each.
fn run(lane: Lane) {
    var sources = sources_of(lane);
    var parts = lane_parts(lane, &sources);
    for (var k = 0u; k < COLUMNS; k++) {
        store_part(column(lane, k), sources[k], parts[k]);
    }
}
