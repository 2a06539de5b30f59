// needs: entry, resident, saved, lane_sums, known_sums, apply_dx, write_gradients, affine, saved_rows, grads, visit_dresidual
// Backward through batch statistics in one dispatch, where a workgroup walks its channels whole: the sums,
// then dweight, dbias and dx.
//
// Each lane reads its share of x, dy and, behind an activation, the residual twice, the second time out of
// a cache, and keeps none of it. It writes dresidual the first time and dx the second. The lanes of a team
// read neighbouring words at a time: those of one run, or of channels side by side.
// Barriers: those of `reduce`, between the two.
// Registers a lane on Ampere (NVK, f32, no activation): 47 by values, 75 by fours of a run, 122 by fours
// of channels.

fn map_of(lane: Lane, s: Source, part: Partial) -> Map {
    let sums = known_sums(s, reduce(lane, part, params.slots));
    let map = dx_map(s, sums);
    write_gradients(lane, sums);
    return map;
}
