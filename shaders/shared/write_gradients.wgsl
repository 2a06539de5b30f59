// needs: numerics, lanes, partial_sums
// dbias and dweight are written by one workgroup of the channel; each is NaN where it is not finite.
fn write_gradients(lane: Lane, sums: Partial, weight_finite: Flag, bias_finite: Flag) {
    if (has(HAS_GRADS) && speaks(lane)) {
        var dweight = or_nan(sums.dz_x, weight_finite);
        var dbias = or_nan(sums.dz, bias_finite);
        if (has(ACCUMULATE)) {
            dweight += grads[lane.channel];
            dbias += grads[params.all_channels + lane.channel];
        }
        grads[lane.channel] = dweight;
        grads[params.all_channels + lane.channel] = dbias;
    }
}
