// needs: lanes, numerics, partial_moments, reduce_workgroup, merged_pivot
// Merges the partials of the lane's channel about `pivot`; every workgroup of the channel gets the same bits.
fn merged_moments(lane: Lane, pivot: PerChannel) -> Partial {
    // Of an empty batch there are no partials, and one lane a channel hands on its zeros.
    let slots = clamp(params.partials, 1u, params.slots);
    var cascade: Cascade;
    let base = params.partials_start + lane.channel * params.partials;
    // Rounds for all lanes together, as in `rounds`.
    for (var first = 0u; first < params.partials; first += slots) {
        let k = first + lane.slot;
        if (lane.live && lane.slot < slots && k < params.partials) {
            let part = partials[base + k];
            // Pieces of a tensor have pivots of their own.
            let offset = centered_pivot(part.pivot, pivot) + part.moments.offset;
            cascade = push(cascade, Partial(part.moments.count, offset, part.moments.m2), lane);
        }
    }
    return reduce(lane, total(cascade, lane), slots);
}
