// needs: entry, map, flat_pairs, frozen, affine, frozen_rows
// Backward through frozen statistics, last dispatch, of halves whose loads would be single ones:
// dx = dz·weight·inv_std, and dresidual.
//
// A lane reads the statistics of the two channels that its words are of. Then it reads its words of x, dy and,
// behind an activation, the residual, and writes dx and dresidual to the same places. The lanes of a workgroup read
// neighbouring words.
// Barriers: none, and no workgroup memory.
// Registers a lane on Ampere (NVK, f16, no activation): 31 by words.

alias OneMap = Statistics;

fn statistics_in(s: OneMap) -> Statistics {
    return s;
}

fn one_of(pair: Pair, s: OneMap) -> Value {
    return frozen_dx(pair, s);
}

fn map_of(channel: u32) -> OneMap {
    return frozen_statistics(channel);
}
