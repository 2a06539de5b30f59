// needs: entry, map, frozen, apply, affine, frozen_rows
// Inference and the functional normalization: y from statistics that the batch does not move.
//
// Each lane reads the statistics of its channels, then its share of x, once, and of the residual where
// there is one, and writes y to the same positions. The lanes of a team read neighbouring words at a
// time: those of one run, or of channels side by side.
// Barriers: none, and no workgroup memory.
// Registers a lane on Ampere (NVK, f32, no activation): 26 by values, 35 by fours of a run, 52 by fours of
// channels.

fn map_of(lane: Lane) -> Map {
    return frozen_statistics(lane.channel);
}
