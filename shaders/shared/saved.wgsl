// needs: saved_channel
// Backward's statistics are those that training forward saved.
fn source_of(lane: Lane) -> Statistics {
    return saved_channel(lane.channel);
}
