// needs: entry, numerics, partial_moments, moments_rows, given
// Moments of two batches into those of both, by Chan's formula; the pivot stays the first's, unless that is of no values.
//
// One lane for each channel reads the three rows of both and writes the first's. Neighbouring lanes
// serve neighbouring channels where teams have several columns.
// Barriers: none.
// Registers a lane on Ampere (NVK, f32, no activation): 19 by values, 70 by fours of channels.

fn run(lane: Lane) {
    if (speaks(lane)) {
        let c = params.all_channels;
        for (var k = 0u; k < COLUMNS; k++) {
            let at = column(lane, k).channel;
            let a = Partial(params.total, moments[c + at], moments[2u * c + at]);
            let pivot = select(moments[at], given[at], params.total == 0.0);
            let offset = centered_pivot(given[at], pivot) + given[c + at];
            let b = Partial(params.given_total, offset, given[2u * c + at]);
            let whole = merge(a, b);
            moments[at] = pivot;
            moments[c + at] = whole.offset;
            moments[2u * c + at] = whole.m2;
        }
    }
}
