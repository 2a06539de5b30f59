// needs: numerics, statistics
// Statistics that the batch does not move: rows of mean and variance, or of pivot, offset and m2.
fn frozen_statistics(channel: u32) -> Statistics {
    let c = params.all_channels;
    var mean = frozen[channel];
    var offset = PerChannel(0.0);
    var variance = frozen[c + channel];
    if (has(FROM_MOMENTS)) {
        offset = variance;
        variance = frozen[2u * c + channel] / params.total;
    }
    // Published files hold variances a little below zero: one is a variance where it is above zero together with eps. The
    // sign bit decides; zero of either sign is a variance.
    let sum = variance + params.eps;
    let below = bitcast<PerChannelBits>(opaque(sum)) >> PerChannelBits(31u) == PerChannelBits(1u);
    let none = (below | (sum == PerChannel(0.0))) & (variance != PerChannel(0.0));
    return statistics_of(channel, mean, offset, inverse_sqrt(sum), !none);
}
