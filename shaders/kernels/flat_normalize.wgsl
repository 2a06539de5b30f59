// needs: entry, map, flat_y, batch_statistics, folded, affine, stored_moments
// Training forward, last dispatch, of halves whose loads would be single ones: y from partials that were merged to
// one a channel.
//
// A lane reads the moments of the two channels that its words are of. Then it reads its words of x, and of the
// residual where there is one, and writes y to the same places. The lanes of a workgroup read neighbouring words.
// Barriers: none, and no workgroup memory.
// Registers a lane on Ampere (NVK, f16, no activation): 49 by words.

fn map_of(channel: u32) -> Statistics {
    let merged = partials[folded_at(channel)];
    return batch_statistics(channel, merged.pivot, merged.moments);
}
