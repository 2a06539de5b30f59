// needs: entry, numerics, partial_moments
// Moments of two batches into those of both, by Chan's formula; the pivot stays the first's.
@group(0) @binding(5) var<storage, read_write> moments: array<PerChannel>;
@group(0) @binding(12) var<storage, read_write> given: array<PerChannel>;

fn run(lane: Lane) {
    if (speaks(lane)) {
        let c = params.all_channels;
        for (var k = 0u; k < COLUMNS; k++) {
            let at = column(lane, k).channel;
            let a = Partial(params.total, moments[c + at], moments[2u * c + at]);
            let offset = centered_pivot(given[at], moments[at]) + given[c + at];
            let b = Partial(params.given_total, offset, given[2u * c + at]);
            let whole = merge(a, b);
            moments[c + at] = whole.offset;
            moments[2u * c + at] = whole.m2;
        }
    }
}
