// needs: entry, held, held_sums, known_sums, reduce_workgroup, apply_dx, out, dresidual, write_gradients, saved_channel, affine, saved_rows, grads
// Backward through batch statistics in one dispatch, where the lanes of a workgroup hold its channels in registers:
// the sums, then dweight, dbias and dx. Each tensor is read once, and dx and dresidual are written once.
//
// Each lane reads its share of x, dy and, behind an activation, the residual. The lanes of a channel read
// neighbouring words at a time: those of one run, or of channels side by side.
// Barriers: those of `reduce`, before dx.
// Registers a lane on Ampere (NVK, f32, no activation): 69 by values, 166 by fours of a run, 184 by fours
// of channels, where it holds eight loads.

fn put(at: u32, dx: Value, pair: Taken, map: Map) {
    let s = map.statistics;
    store_dresidual(at, dresidual_of(pair, s), knows_dresidual(s));
    store(at, dx, Flag(true));
}

fn run(lane: Lane) {
    let s = saved_channel(lane.channel);
    let at = places_of(lane);
    let held = hold(s, at);
    let sums = known_sums(s, reduce(lane, held_sums(held, lane.len), params.slots));
    let map = dx_map(s, sums);
    write_gradients(lane, sums);
    write_held(lane, map, held, at);
}
