// Training forward in one dispatch, where a workgroup holds its channels whole: the moments, then y,
// the saved and the running statistics.
@group(0) @binding(1) var<storage, read_write> x: array<Word>;
@group(0) @binding(2) var<storage, read_write> y: array<Word>;
// weight, bias: `[2][C]`.
@group(0) @binding(4) var<storage, read_write> affine: array<PerChannel>;
// mean and variance as f32 bits, batches: `[3][C]`.
@group(0) @binding(5) var<storage, read_write> running: array<PerChannelBits>;
// pivot, offset, inv_std, batch_mean, batch_var: `[5][C]`.
@group(0) @binding(6) var<storage, read_write> saved: array<PerChannel>;

fn run(lane: Lane) {
    var pivots = pivots_of(lane);
    var parts = lane_moments(lane, &pivots);
    var maps: array<Affine, COLUMNS>;
    for (var k = 0u; k < COLUMNS; k++) {
        let here = column(lane, k);
        let s = finish_train(here, pivots[k], reduce(lane, parts[k], params.slots));
        maps[k] = affine_of(here.channel, s);
    }
    apply(lane, &maps);
}
