// needs: entry, merge_sums, stored_sums
// Backward between its two passes, where a channel has many partials: merges the sums to one pair, which lies
// behind all of them, `[C][partials]` and then `[C]`.
//
// One workgroup for each group of channels reads their partials, which lie behind each other for a channel,
// and writes one a channel. The tensor is not touched.
// Barriers: those of `reduce`.
// Registers a lane on Ampere (NVK, f32, no activation): 19 by values, 37 by fours of channels.

fn run(lane: Lane) {
    let whole = merged_sums(lane);
    if (speaks(lane)) {
        partials[params.all_channels * params.partials + lane.channel] = whole;
    }
}
