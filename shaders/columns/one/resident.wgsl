// needs: parts, lane_parts, write
// A kernel that holds the lane's one channel whole: it reduces the channel, then maps it.
fn run(lane: Lane) {
    var source = sources_of(lane);
    write_lane(lane, map_of(lane, source, lane_parts(lane, &source)));
}
