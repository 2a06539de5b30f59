// needs: entry, numerics, merge_moments
// The functional moments, second dispatch: merges the partials into pivot, offset and m2.
@group(0) @binding(5) var<storage, read_write> moments: array<PerChannel>;
@group(0) @binding(7) var<storage, read_write> partials: array<Stored>;

fn run(lane: Lane) {
    for (var k = 0u; k < COLUMNS; k++) {
        let here = column(lane, k);
        let pivot = merged_pivot(here);
        let whole = merged_moments(here, pivot);
        if (speaks(lane)) {
            let c = params.all_channels;
            let finite = is_finite(pivot + whole.offset) & is_finite(whole.m2);
            moments[here.channel] = or_nan(pivot, finite);
            moments[c + here.channel] = or_nan(whole.offset, finite);
            moments[2u * c + here.channel] = or_nan(whole.m2, finite);
        }
    }
}
