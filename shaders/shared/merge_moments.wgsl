// Merges the partials of the lane's channel; every workgroup of the channel gets the same bits.
fn merged_moments(lane: Lane) -> Partial {
    let slots = min(params.slots, params.partials);
    var cascade: Cascade;
    if (lane.slot < slots) {
        let base = lane.channel * params.partials;
        for (var k = lane.slot; k < params.partials; k += slots) {
            let part = partials[base + k];
            push(&cascade, Partial(part.x, part.y, part.z));
        }
    }
    return reduce(lane, total(cascade), slots);
}

fn merged_pivot(lane: Lane) -> f32 {
    return partials[lane.channel * params.partials].w;
}
