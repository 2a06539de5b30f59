// Training forward in one dispatch, where a workgroup holds its channels whole: the moments, then y,
// the saved and the running statistics.
// weight, bias: `[2][C]`.
@group(0) @binding(4) var<storage, read_write> affine: array<PerChannel>;
// mean and variance as f32 bits, batches: `[3][C]`.
@group(0) @binding(5) var<storage, read_write> running: array<PerChannelBits>;
// pivot, offset, inv_std, batch_mean, batch_var: `[5][C]`.
@group(0) @binding(6) var<storage, read_write> saved: array<PerChannel>;

fn run(lane: Lane) {
    var pivots = pivots_of(lane);
    var parts = lane_moments(lane, &pivots);
    var s: array<Statistics, COLUMNS>;
    for (var k = 0u; k < COLUMNS; k++) {
        let here = column(lane, k);
        s[k] = finish_train(here, pivots[k], reduce(lane, parts[k], params.slots));
    }
    apply(lane, &s);
}
