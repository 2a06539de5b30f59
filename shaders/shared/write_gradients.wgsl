// needs: numerics, lanes, partial_sums
// dbias and dweight are written by one workgroup of the channel; NaN where either is not finite.
fn write_gradients(lane: Lane, sums: Partial, finite: Flag) {
    if (has(HAS_GRADS) && speaks(lane)) {
        var dweight = or_nan(sums.dz_x, finite);
        var dbias = or_nan(sums.dz, finite);
        if (has(ACCUMULATE)) {
            dweight += grads[lane.channel];
            dbias += grads[params.all_channels + lane.channel];
        }
        grads[lane.channel] = dweight;
        grads[params.all_channels + lane.channel] = dbias;
    }
}
