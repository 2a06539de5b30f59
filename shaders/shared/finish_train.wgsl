// needs: numerics, lanes, batch_statistics
// What training forward does once the moments of the batch are known: the saved and the running
// statistics.
fn write_saved(channel: u32, s: Statistics, mean: PerChannel, variance: PerChannel) {
    let c = params.all_channels;
    saved[channel] = or_nan(s.pivot, s.finite);
    saved[c + channel] = or_nan(s.offset, s.finite);
    saved[2u * c + channel] = or_nan(s.inv_std, s.finite);
    saved[3u * c + channel] = or_nan(mean, s.finite);
    saved[4u * c + channel] = or_nan(variance, s.finite);
}

fn write_running(channel: u32, s: Statistics, batch: Partial) {
    let c = params.all_channels;
    let update = variance_of(batch) * correction_of(batch);
    let finite = s.finite & is_finite(update);
    let moves = (finite | Flag(!has(SKIP_NON_FINITE))) & Flag(is_counted(batch));
    // One row after the other, so that few registers hold them.
    let old_batches = running[2u * c + channel];
    let full = old_batches == PerChannelBits(0xffffffffu);
    let batches = old_batches + select(PerChannelBits(1u), PerChannelBits(0u), full);
    var factor = PerChannel(params.momentum);
    if (has(CUMULATIVE)) {
        factor = 1.0 / PerChannel(batches);
    }
    running[2u * c + channel] = select(old_batches, batches, moves);
    let keep = 1.0 - factor;
    let nan = PerChannelBits(nan_bits());
    let old_mean = running[channel];
    let mean = (keep * bitcast<PerChannel>(old_mean) + factor * s.pivot) + factor * s.offset;
    let mean_bits = select(nan, bitcast<PerChannelBits>(mean), finite);
    running[channel] = select(old_mean, mean_bits, moves);
    let old_variance = running[c + channel];
    let new_variance = keep * bitcast<PerChannel>(old_variance) + factor * update;
    let variance_bits = select(nan, bitcast<PerChannelBits>(new_variance), finite);
    running[c + channel] = select(old_variance, variance_bits, moves);
}

// The channel's statistics, which are saved on the way, unless the dispatch before has done so.
fn finish_train(lane: Lane, pivot: PerChannel, batch: Partial) -> Statistics {
    let s = batch_statistics(lane.channel, pivot, batch);
    if (speaks(lane) && params.partials_start == 0u) {
        write_saved(lane.channel, s, pivot + batch.offset, variance_of(batch));
        if (has(HAS_RUNNING)) {
            write_running(lane.channel, s, batch);
        }
    }
    return s;
}
