// needs: entry, map, apply_dx, merged_dx, affine, saved_rows, stored_sums
// Backward through batch statistics, second dispatch: merges the sums and writes dweight and dbias, or
// takes sums that were merged already; writes dx.
//
// Each workgroup reads all partials of its channels and merges them in the same order as every other
// workgroup of them. Then each lane reads its share of x, dy and, behind an activation, the residual again
// and writes dx to the same positions. The lanes of a team read neighbouring words at a time: those of one
// run, or of channels side by side.
// The first workgroup of a channel writes dweight and dbias.
// `map_of` is in `merged_dx`; maps with weights do not merge, and have another.
// Barriers: those of `reduce`, before dx; none where sums are given.
// Registers a lane on Ampere (NVK, f32, no activation): 32 by values, 50 by fours of a run, 77 by fours of
// channels.
