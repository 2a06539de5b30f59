// needs: parts, lane_parts
// A kernel that reduces the lane's one channel and stores the partial.
fn run(lane: Lane) {
    var source = sources_of(lane);
    store_part(lane, source, lane_parts(lane, &source));
}
