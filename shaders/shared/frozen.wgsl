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
    // A negative variance is no variance; the sign bit decides, zero of either sign is one.
    let signs = bitcast<PerChannelBits>(opaque(variance)) >> PerChannelBits(31u);
    let negative = (signs == PerChannelBits(1u)) & (variance != PerChannel(0.0));
    return statistics_of(channel, mean, offset, inverse_sqrt(variance + params.eps), !negative);
}
