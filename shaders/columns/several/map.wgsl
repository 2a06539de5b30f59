// needs: write
// A kernel that maps the lane's channels.
fn run(lane: Lane) {
    var maps: Maps;
    for (var k = 0u; k < COLUMNS; k++) {
        maps[k] = map_of(column(lane, k));
    }
    write_lane(lane, &maps);
}
