// Training forward, second dispatch: merges the partials, writes y, the saved and the running
// statistics.
@group(0) @binding(1) var<storage, read_write> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
// weight, bias: `[2][C]`.
@group(0) @binding(4) var<storage, read_write> affine: array<f32>;
// mean and variance as f32 bits, batches: `[3][C]`. A count is no float: as one it would be
// subnormal, and might be flushed to zero.
@group(0) @binding(5) var<storage, read_write> running: array<u32>;
// pivot, offset, inv_std, batch_mean, batch_var: `[5][C]`.
@group(0) @binding(6) var<storage, read_write> saved: array<f32>;
@group(0) @binding(7) var<storage, read_write> partials: array<vec4<f32>>;

fn write_saved(channel: u32, s: Statistics, mean: f32, variance: f32) {
    let c = params.all_channels;
    saved[channel] = select(nan(), s.pivot, s.finite);
    saved[c + channel] = select(nan(), s.offset, s.finite);
    saved[2u * c + channel] = select(nan(), s.inv_std, s.finite);
    saved[3u * c + channel] = select(nan(), mean, s.finite);
    saved[4u * c + channel] = select(nan(), variance, s.finite);
}

fn write_running(channel: u32, s: Statistics, variance: f32) {
    let c = params.all_channels;
    let update = variance * params.correction;
    let finite = s.finite && is_finite(update);
    if (!finite && has(SKIP_NON_FINITE)) {
        return;
    }
    let old_batches = running[2u * c + channel];
    let batches = old_batches + select(1u, 0u, old_batches == 0xffffffffu);
    var factor = params.momentum;
    if (has(CUMULATIVE)) {
        factor = 1.0 / f32(batches);
    }
    let keep = 1.0 - factor;
    let mean = (keep * bitcast<f32>(running[channel]) + factor * s.pivot) + factor * s.offset;
    let new_variance = keep * bitcast<f32>(running[c + channel]) + factor * update;
    running[channel] = select(nan_bits(), bitcast<u32>(mean), finite);
    running[c + channel] = select(nan_bits(), bitcast<u32>(new_variance), finite);
    running[2u * c + channel] = batches;
}

fn run(lane: Lane) {
    let pivot = merged_pivot(lane);
    let batch = merged_moments(lane, pivot);
    let mean = pivot + batch.offset;
    let variance = batch.m2 / params.total;
    let finite = is_finite(mean) && is_finite(variance);
    let s = Statistics(pivot, batch.offset, inverse_sqrt(variance + params.eps), finite);
    apply(lane, s);
    if (speaks(lane)) {
        write_saved(lane.channel, s, mean, variance);
        if (has(HAS_RUNNING)) {
            write_running(lane.channel, s, variance);
        }
    }
}
