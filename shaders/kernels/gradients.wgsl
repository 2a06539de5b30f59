// needs: entry, numerics, merge_sums, given_sums, write_gradients, folded, stored_sums
// Backward's dispatch without a tensor: merges the sums into dweight and dbias, or takes
// sums that were merged already. Where a pass over the tensor comes
// behind and does not merge for itself, it leaves them merged, behind all partials: `[C][partials]` and then `[C]`.
//
// One workgroup for each group of channels reads their partials, which lie behind each other for a channel,
// and writes two values a channel, or four. The tensor is not touched.
// Barriers: those of `reduce`; none where sums are given.
// Registers a lane on Ampere (NVK, f32, no activation): 21 by values, 39 by fours of channels.

// Merged, or as they are given.
fn sums_of(lane: Lane) -> Partial {
    if (has(FROM_SUMS)) {
        return given_sums(lane.channel);
    }
    return merged_sums(lane);
}

fn run(lane: Lane) {
    for (var k = 0u; k < COLUMNS; k++) {
        let here = column(lane, k);
        let sums = sums_of(here);
        write_gradients(here, sums);
        before_folding();
        if (has(FOLDS) && speaks(lane)) {
            partials[fold_to(here.channel)] = sums;
        }
    }
}
