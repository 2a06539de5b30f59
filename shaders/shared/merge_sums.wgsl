// needs: lanes, partial_sums, reduce_workgroup
// Merges the partials of the lane's channel; every workgroup of the channel gets the same bits.
fn merged_sums(lane: Lane) -> Partial {
    let slots = min(params.slots, params.partials);
    var cascade: Cascade;
    if (lane.slot < slots) {
        let base = params.partials_start + lane.channel * params.partials;
        for (var k = lane.slot; k < params.partials; k += slots) {
            cascade = push(cascade, partials[base + k]);
        }
    }
    return reduce(lane, total(cascade), slots);
}
