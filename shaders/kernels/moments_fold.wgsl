// needs: entry, numerics, merge_moments, stored_moments
// Training forward between its two passes, where a channel has many partials: merges them to one, which lies
// behind all of them, `[C][partials]` and then `[C]`.
//
// One workgroup for each group of channels reads their partials, which lie behind each other for a channel,
// and writes one a channel. The tensor is not touched.
// Barriers: those of `reduce`.
// Registers a lane on Ampere (NVK, f32, no activation): 24 by values, 48 by fours of channels.

fn run(lane: Lane) {
    let pivot = merged_pivot(lane);
    let whole = merged_moments(lane, pivot);
    if (speaks(lane)) {
        partials[params.all_channels * params.partials + lane.channel] = Stored(whole, pivot);
    }
}
