// The functional moments, second dispatch: merges the partials into pivot, offset and m2.
@group(0) @binding(5) var<storage, read_write> moments: array<f32>;
@group(0) @binding(7) var<storage, read_write> partials: array<vec4<f32>>;

fn run(lane: Lane) {
    let pivot = merged_pivot(lane);
    let whole = merged_moments(lane, pivot);
    if (speaks(lane)) {
        let c = params.all_channels;
        let finite = is_finite(pivot + whole.offset) && is_finite(whole.m2);
        moments[lane.channel] = select(nan(), pivot, finite);
        moments[c + lane.channel] = select(nan(), whole.offset, finite);
        moments[2u * c + lane.channel] = select(nan(), whole.m2, finite);
    }
}
