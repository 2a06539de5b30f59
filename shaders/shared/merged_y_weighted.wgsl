// needs: batch_statistics, folded, stored_moments
// A dispatch before has merged the partials, or taken those given: with weights there are not bindings enough for all.
fn map_of(lane: Lane) -> Map {
    let merged = partials[folded_at(lane.channel)];
    return batch_statistics(lane.channel, merged.pivot, merged.moments);
}
