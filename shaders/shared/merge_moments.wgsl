// needs: lanes, numerics, partial_moments, reduce_workgroup
// Merges the partials of the lane's channel about `pivot`; every workgroup of the channel gets the same bits.
fn merged_moments(lane: Lane, pivot: PerChannel) -> Partial {
    let slots = min(params.slots, params.partials);
    var cascade: Cascade;
    if (lane.slot < slots) {
        let base = params.partials_start + lane.channel * params.partials;
        for (var k = lane.slot; k < params.partials; k += slots) {
            let part = partials[base + k];
            // Pieces of a tensor have pivots of their own.
            let offset = centered_pivot(part.pivot, pivot) + part.moments.offset;
            cascade = push(cascade, Partial(part.moments.count, offset, part.moments.m2));
        }
    }
    return reduce(lane, total(cascade), slots);
}

fn merged_pivot(lane: Lane) -> PerChannel {
    return partials[params.partials_start + lane.channel * params.partials].pivot;
}
