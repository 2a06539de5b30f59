// needs: entry, numerics, merge_moments, batch_total, moments_rows, stored_moments
// The functional moments, second dispatch: merges the partials into pivot, offset and m2.
//
// One workgroup for each group of channels reads their partials, which lie behind each other for a channel,
// and writes three values a channel. The tensor is not touched.
// Barriers: those of `reduce`.
// Registers a lane on Ampere (NVK, f32, no activation): 26 by values, 50 by fours of channels.

fn run(lane: Lane) {
    for (var k = 0u; k < COLUMNS; k++) {
        let here = column(lane, k);
        // Of no values there is no partial, and all three are 0.
        let pivot = select(PerChannel(0.0), merged_pivot(here), params.partials > 0u);
        let whole = merged_moments(here, pivot);
        if (speaks(lane)) {
            let c = params.all_channels;
            let squares = squares_of(whole);
            let finite = is_finite(pivot + whole.offset) & is_finite(squares);
            moments[here.channel] = or_nan(pivot, finite);
            moments[c + here.channel] = or_nan(whole.offset, finite);
            moments[2u * c + here.channel] = or_nan(squares, finite);
        }
    }
}
