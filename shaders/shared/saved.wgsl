// The statistics that training forward saved; a channel that was not finite stays so.
fn saved_statistics(channel: u32) -> Statistics {
    let inv_std = saved[2u * params.all_channels + channel];
    return Statistics(
        saved[channel],
        saved[params.all_channels + channel],
        inv_std,
        is_finite(inv_std),
    );
}
