// needs: saved_channel, merge_sums, dx, write_gradients, given_sums
// Each workgroup merges the partials of its channels for itself, in the same order as every other workgroup of them, and
// the first writes dweight and dbias.
fn map_of(lane: Lane) -> Map {
    let s = saved_channel(lane.channel);
    if (has(FROM_SUMS)) {
        return dx_map(s, given_sums(lane.channel));
    }
    let sums = merged_sums(lane);
    let map = dx_map(s, sums);
    write_gradients(lane, sums);
    return map;
}
