// needs: write
// A kernel that maps the lane's one channel.
fn run(lane: Lane) {
    write_lane(lane, map_of(lane));
}
