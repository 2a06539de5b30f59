// needs: entry, resident, lane_moments, apply, finish_train, affine, running_rows, saved_rows
// Training forward in one dispatch, where a workgroup walks its channels whole: the moments, then y, the
// saved and the running statistics.
//
// Each lane reads five samples of its channel for the pivot and then its share of x twice, the second
// time out of a cache, and keeps none of it; it reads its share of the residual where there is one, and
// writes y to the same positions. The lanes of a team read neighbouring words at a time: those of one
// run, or of channels side by side.
// Barriers: those of `reduce`, between the two, and one more where y goes over x.
// Registers a lane on Ampere (NVK, f32, no activation): 38 by values, 55 by fours of a run, 76 by fours of
// channels.

fn map_of(lane: Lane, pivot: Source, part: Partial) -> Map {
    let batch = reduce(lane, part, params.slots);
    // Pivots were sampled where other lanes store next. A lane of several channels has them to itself.
    if (IN_PLACE && COLUMNS == 1u) {
        storageBarrier();
    }
    return finish_train(lane, pivot, batch);
}
