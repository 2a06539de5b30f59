// needs: entry, map, apply, merged_y, affine, stored_moments
// Training forward, second dispatch: merges the partials, or takes moments that were merged already, writes
// y, the saved and the running statistics.
//
// Each workgroup reads all partials of its channels and merges them in the same order as every other
// workgroup of them. Then each lane reads its share of x again, and of the residual where there is one,
// and writes y to the same positions. The lanes of a team read neighbouring words at a time: those of one
// run, or of channels side by side.
// The first workgroup of a channel writes what is saved, and the running statistics, where no dispatch between the two
// has done so.
// `map_of` is in `merged_y`; maps with weights do not merge, and have another.
// Barriers: those of `reduce`, before y; none where moments are given.
// Registers a lane on Ampere (NVK, f32, no activation): 29 by values, 35 by fours of a run, 72 by fours of
// channels.
