// needs: merge_moments, finish_train, running_rows, saved_rows, given
// Each workgroup merges the partials of its channels for itself, in the same order as every other workgroup of them, or
// takes moments that were merged already. The first writes what is saved, and the running statistics, where no dispatch
// between the two has done so.
fn map_of(lane: Lane) -> Map {
    if (has(FROM_MOMENTS)) {
        let c = params.all_channels;
        let at = lane.channel;
        return finish_train(lane, given[at], Partial(params.total, given[c + at], given[2u * c + at]));
    }
    let pivot = merged_pivot(lane);
    return finish_train(lane, pivot, merged_moments(lane, pivot));
}
