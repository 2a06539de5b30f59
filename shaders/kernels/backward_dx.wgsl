// Backward through batch statistics, second dispatch: merges the sums, writes dweight, dbias and dx.
@group(0) @binding(1) var<storage, read_write> x: array<Word>;
@group(0) @binding(2) var<storage, read_write> dx: array<Word>;
@group(0) @binding(3) var<storage, read_write> dy: array<Word>;
@group(0) @binding(4) var<storage, read_write> affine: array<PerChannel>;
@group(0) @binding(6) var<storage, read_write> saved: array<PerChannel>;
@group(0) @binding(7) var<storage, read_write> partials: array<Partial>;
// dweight, dbias: `[2][C]`.
@group(0) @binding(8) var<storage, read_write> grads: array<PerChannel>;

fn run(lane: Lane) {
    var s = saved_statistics(lane);
    var slopes: array<Slope, COLUMNS>;
    for (var k = 0u; k < COLUMNS; k++) {
        let here = column(lane, k);
        slopes[k] = slope_of(here, s[k], merged_sums(here));
    }
    write_dx(lane, &s, &slopes);
}
