// needs: numerics, lanes, partial_sums
// dbias and dweight are written by one workgroup of the channel; each is what its own sum is, but that a dweight
// beyond f32 is NaN: the sign of a product with a small x̂ is not known.
fn write_gradients(lane: Lane, sums: Partial) {
    if (has(HAS_GRADS) && speaks(lane)) {
        var dweight = or_nan(sums.dz_x, is_finite(sums.dz_x));
        var dbias = sums.dz;
        if (has(ACCUMULATE)) {
            dweight += grads[lane.channel];
            dbias += grads[params.all_channels + lane.channel];
        }
        grads[lane.channel] = dweight;
        grads[params.all_channels + lane.channel] = dbias;
    }
}
