// needs: lanes, known_sums, reduce_workgroup
// Stores the partial sums of the lane's workgroup.
fn store_part(lane: Lane, s: Source, part: Partial) {
    let whole = reduce(lane, part, params.slots);
    if (lane.live && lane.slot == 0u) {
        partials[partial_of(lane)] = known_sums(s, whole);
    }
}
