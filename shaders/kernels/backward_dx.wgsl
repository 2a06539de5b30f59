// Backward through batch statistics, second dispatch: merges the sums and writes dweight and dbias, or
// takes sums that were merged already; writes dx.
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
        if (has(FROM_SUMS)) {
            let sums = Partial(grads[params.all_channels + here.channel], grads[here.channel]);
            slopes[k] = slope_of(s[k], sums);
        } else {
            let sums = merged_sums(here);
            slopes[k] = slope_of(s[k], sums);
            write_gradients(here, sums, slopes[k].finite);
        }
    }
    write_dx(lane, &s, &slopes);
}
