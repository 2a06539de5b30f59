// needs: numerics, statistics
// The statistics that training forward saved; a channel that was not finite stays so.
fn saved_channel(channel: u32) -> Statistics {
    let c = params.all_channels;
    let inv_std = saved[2u * c + channel];
    return statistics_of(channel, saved[channel], saved[c + channel], inv_std, is_finite(inv_std));
}
