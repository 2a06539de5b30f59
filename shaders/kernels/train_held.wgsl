// needs: entry, held, held_moments, reduce_workgroup, apply, out, finish_train, affine, running_rows, saved_rows
// Training forward in one dispatch, where the lanes of a workgroup hold its channels in registers: the moments,
// then y, the saved and the running statistics. The tensor is read once and written once.
//
// Each lane reads the first value of its channel and its share of x, and of the residual where there is one. The
// mean is found about the first value; rounded, it is the pivot, about which the moments are then exact, however
// far from the others the first value is. The lanes of a channel read neighbouring words at a time: those of one
// run, or of channels side by side.
// Barriers: those of `reduce`, once for the pivot and once for the moments, and one more where y goes over x.
// Registers a lane on Ampere (NVK, f32, no activation): 52 by values, 101 by fours of a run, 117 by fours
// of channels, where it holds eight loads.

fn put(at: u32, y: Value, x: Taken, map: Map) {
    store(at, y, Flag(true));
}

fn run(lane: Lane) {
    let first = first_of(x_at(address_of(lane.local, 0u)));
    let at = places_of(lane);
    let x = hold(first, at);
    let start = held_start(lane, x, first);
    let rough = reduce(lane, held_mean(held_about(x, start, lane.len), lane.len), params.slots);
    let pivot = opaque(start + rough.offset);
    let e = held_about(x, pivot, lane.len);
    let batch = reduce(lane, held_moments(e, lane.len), params.slots);
    // Other lanes read the first value where this one may store next.
    if (IN_PLACE) {
        storageBarrier();
    }
    write_held(lane, finish_train(lane, pivot, batch), x, at);
}
