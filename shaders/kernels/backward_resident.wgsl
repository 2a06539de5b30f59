// Backward through batch statistics in one dispatch, where a workgroup holds its channels whole: the
// sums, then dweight, dbias and dx.
@group(0) @binding(4) var<storage, read_write> affine: array<PerChannel>;
@group(0) @binding(6) var<storage, read_write> saved: array<PerChannel>;
// dweight, dbias: `[2][C]`.
@group(0) @binding(8) var<storage, read_write> grads: array<PerChannel>;

// dx waits for the sums.
fn visit(at: u32, pair: Pair, s: Statistics) {
    store_dresidual(at, pair.dz, s.finite);
}

fn run(lane: Lane) {
    var s = saved_statistics(lane);
    var parts = lane_sums(lane, &s);
    var slopes: array<Slope, COLUMNS>;
    for (var k = 0u; k < COLUMNS; k++) {
        let sums = reduce(lane, parts[k], params.slots);
        slopes[k] = slope_of(s[k], sums);
        write_gradients(column(lane, k), sums, slopes[k].finite);
    }
    write_dx(lane, &s, &slopes);
}
