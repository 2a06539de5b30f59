// needs: parts, lane_parts, write
// A kernel that holds the lane's channels whole: it reduces each, then maps them.
fn run(lane: Lane) {
    var sources = sources_of(lane);
    var parts = lane_parts(lane, &sources);
    var maps: Maps;
    for (var k = 0u; k < COLUMNS; k++) {
        maps[k] = map_of(column(lane, k), sources[k], parts[k]);
    }
    write_lane(lane, &maps);
}
