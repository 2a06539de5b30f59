// needs: saved_channel, dx, folded, stored_sums
// A dispatch before has merged the partials: with weights there is no binding left for dweight and dbias.
fn map_of(lane: Lane) -> Map {
    return dx_map(saved_channel(lane.channel), partials[folded_at(lane.channel)]);
}
