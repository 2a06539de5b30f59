// The saved statistics of the lane's channels.
fn saved_statistics(lane: Lane) -> array<Statistics, COLUMNS> {
    var s: array<Statistics, COLUMNS>;
    for (var k = 0u; k < COLUMNS; k++) {
        s[k] = saved_channel(column(lane, k).channel);
    }
    return s;
}
