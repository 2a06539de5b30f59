// needs: entry, store, lane_moments, reduce_workgroup, stored_moments
// Training forward, first dispatch: partial moments of every channel about its pivot.
//
// Each lane reads five samples of its channel for the pivot and then its share of x, once. The lanes of a
// team read neighbouring words at a time: those of one run, or of channels side by side.
// One lane of each workgroup writes a partial for each of the workgroup's channels.
// Barriers: those of `reduce`, which all lanes of a workgroup reach.
// Registers a lane on Ampere (NVK, f32, no activation): 34 by values, 51 by fours of a run, 72 by fours of
// channels.

fn store_part(lane: Lane, pivot: Source, part: Partial) {
    let whole = reduce(lane, part, params.slots);
    if (lane.live && lane.slot == 0u) {
        partials[partial_of(lane)] = Stored(whole, pivot);
    }
}
