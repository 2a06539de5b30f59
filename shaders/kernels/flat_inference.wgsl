// needs: entry, map, flat_y, frozen, affine, frozen_rows
// Inference and the functional normalization, of halves whose loads would be single ones: y from statistics that the
// batch does not move, or from given moments.
//
// A lane reads the statistics of the two channels that its words are of. Then it reads its words of x, and of the
// residual where there is one, and writes y to the same places. The lanes of a workgroup read neighbouring words.
// Barriers: none, and no workgroup memory.
// Registers a lane on Ampere (NVK, f16, no activation): 49 by words.

fn map_of(channel: u32) -> Statistics {
    return frozen_statistics(channel);
}
