// Backward through batch statistics in one dispatch, where a workgroup holds its channels whole: the
// sums, then dweight, dbias and dx.
@group(0) @binding(1) var<storage, read_write> x: array<Word>;
@group(0) @binding(2) var<storage, read_write> dx: array<Word>;
@group(0) @binding(3) var<storage, read_write> dy: array<Word>;
@group(0) @binding(4) var<storage, read_write> affine: array<PerChannel>;
@group(0) @binding(6) var<storage, read_write> saved: array<PerChannel>;
// dweight, dbias: `[2][C]`.
@group(0) @binding(8) var<storage, read_write> grads: array<PerChannel>;

// dx waits for the sums.
fn visit(at: u32, pair: Pair, scale: PerChannel, finite: Flag) {
}

fn run(lane: Lane) {
    var s = saved_statistics(lane);
    var unused: array<PerChannel, COLUMNS>;
    var parts = lane_sums(lane, &s, &unused);
    var slopes: array<Slope, COLUMNS>;
    for (var k = 0u; k < COLUMNS; k++) {
        slopes[k] = slope_of(column(lane, k), s[k], reduce(lane, parts[k], params.slots));
    }
    write_dx(lane, &s, &slopes);
}
