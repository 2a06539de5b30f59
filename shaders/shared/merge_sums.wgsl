// Merges the partials of the lane's channel; every workgroup of the channel gets the same bits.
fn merged_sums(lane: Lane) -> Partial {
    let slots = min(params.slots, params.partials);
    var cascade: Cascade;
    if (lane.slot < slots) {
        let base = lane.channel * params.partials;
        for (var k = lane.slot; k < params.partials; k += slots) {
            let part = partials[base + k];
            push(&cascade, Partial(part.x, part.y));
        }
    }
    return reduce(lane, total(cascade), slots);
}

// dbias and dweight are written by one workgroup of the channel; NaN where either is not finite.
fn write_gradients(lane: Lane, sums: Partial, finite: bool) {
    if (has(HAS_GRADS) && speaks(lane)) {
        var dweight = select(nan(), sums.dy_x, finite);
        var dbias = select(nan(), sums.dy, finite);
        if (has(ACCUMULATE)) {
            dweight += grads[lane.channel];
            dbias += grads[params.all_channels + lane.channel];
        }
        grads[lane.channel] = dweight;
        grads[params.all_channels + lane.channel] = dbias;
    }
}
