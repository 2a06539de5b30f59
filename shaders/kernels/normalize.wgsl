// Training forward, second dispatch: merges the partials, or takes moments that were merged already,
// writes y, the saved and the running statistics.

// weight, bias: `[2][C]`.
@group(0) @binding(4) var<storage, read_write> affine: array<PerChannel>;
// mean and variance as f32 bits, batches: `[3][C]`. A count is no float: as one it would be
// subnormal, and might be flushed to zero.
@group(0) @binding(5) var<storage, read_write> running: array<PerChannelBits>;
// pivot, offset, inv_std, batch_mean, batch_var: `[5][C]`.
@group(0) @binding(6) var<storage, read_write> saved: array<PerChannel>;
@group(0) @binding(7) var<storage, read_write> partials: array<Stored>;
// pivot, offset, m2 of `params.total` values: `[3][C]`.
@group(0) @binding(12) var<storage, read_write> given: array<PerChannel>;

fn run(lane: Lane) {
    var s: array<Statistics, COLUMNS>;
    let c = params.all_channels;
    for (var k = 0u; k < COLUMNS; k++) {
        let here = column(lane, k);
        if (has(FROM_MOMENTS)) {
            let batch = Partial(params.total, given[c + here.channel], given[2u * c + here.channel]);
            s[k] = finish_train(here, given[here.channel], batch);
        } else {
            let pivot = merged_pivot(here);
            s[k] = finish_train(here, pivot, merged_moments(here, pivot));
        }
    }
    apply(lane, &s);
}
