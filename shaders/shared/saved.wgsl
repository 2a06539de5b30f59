// The statistics that training forward saved; a channel that was not finite stays so.
fn saved_statistics(lane: Lane) -> array<Statistics, COLUMNS> {
    var s: array<Statistics, COLUMNS>;
    let c = params.all_channels;
    for (var k = 0u; k < COLUMNS; k++) {
        let channel = column(lane, k).channel;
        let inv_std = saved[2u * c + channel];
        s[k] = statistics_of(channel, saved[channel], saved[c + channel], inv_std, is_finite(inv_std));
    }
    return s;
}
