// needs: lanes, partial_sums, reduce_workgroup
// Merges the partials of the lane's channel; every workgroup of the channel gets the same bits.
fn merged_sums(lane: Lane) -> Partial {
    // Of an empty batch there are no partials, and one lane a channel hands on its zeros.
    let slots = clamp(params.partials, 1u, params.slots);
    var cascade: Cascade;
    let base = params.partials_start + lane.channel * params.partials;
    // Rounds for all lanes together, as in `rounds`.
    for (var first = 0u; first < params.partials; first += slots) {
        let k = first + lane.slot;
        if (lane.live && lane.slot < slots && k < params.partials) {
            cascade = push(cascade, partials[base + k], lane);
        }
    }
    return reduce(lane, total(cascade, lane), slots);
}
