// needs: entry, map, flat_pairs, dx, folded, saved_channel, affine, saved_rows, stored_sums
// Backward through batch statistics, last dispatch, of halves whose loads would be single ones: dx and dresidual
// from sums that were merged to one pair a channel.
//
// A lane reads the saved statistics and the sums of the two channels that its words are of. Then it reads its words
// of x, dy and, behind an activation, the residual, and writes dx and dresidual to the same places. The lanes of a
// workgroup read neighbouring words.
// Barriers: none, and no workgroup memory.
// Registers a lane on Ampere (NVK, f16, no activation): 49 by words.

// Sums that are not finite spoil dx, and not dresidual.
struct OneMap {
    statistics: Statistics,
    dx: DxMap,
}

fn statistics_in(map: OneMap) -> Statistics {
    return map.statistics;
}

fn one_of(pair: Pair, map: OneMap) -> Value {
    return dx_of(pair, map.dx);
}

fn map_of(channel: u32) -> OneMap {
    let s = saved_channel(channel);
    return OneMap(s, dx_map(s, partials[folded_at(channel)]));
}
