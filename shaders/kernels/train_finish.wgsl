// needs: entry, numerics, merge_moments, finish_train, folded, affine, running_rows, saved_rows, stored_moments, given
// Training forward between its two passes, where the second does not merge for itself: what there is one of a
// channel. It merges the channel's partials to one, or takes moments that were merged already, and leaves it behind all
// partials, `[C][partials]` and then `[C]`, where a pass comes behind. It writes the saved and the running statistics.
//
// One workgroup for each group of channels reads their partials, which lie behind each other for a channel.
// The tensor is not touched.
// Barriers: those of `reduce`; none where moments are given.
// Registers a lane on Ampere (NVK, f32, no activation): 26 by values, 74 by fours of channels.

// Merged, or as they are given.
fn moments_of(lane: Lane) -> Stored {
    if (has(FROM_MOMENTS)) {
        let c = params.all_channels;
        let at = lane.channel;
        return Stored(Partial(params.total, given[c + at], given[2u * c + at]), given[at]);
    }
    let pivot = merged_pivot(lane);
    return Stored(merged_moments(lane, pivot), pivot);
}

fn run(lane: Lane) {
    for (var k = 0u; k < COLUMNS; k++) {
        let here = column(lane, k);
        let whole = moments_of(here);
        finish_train(here, whole.pivot, whole.moments);
        before_folding();
        if (has(FOLDS) && speaks(lane)) {
            partials[fold_to(here.channel)] = whole;
        }
    }
}
