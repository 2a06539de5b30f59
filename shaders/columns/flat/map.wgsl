// needs: flat, write
// A kernel that maps words, of whatever channels they are.
fn run(lane: Lane) {
    let channels = channels_of(lane);
    write_lane(within(lane), Map(map_of(channels.x), map_of(channels.y)));
}
