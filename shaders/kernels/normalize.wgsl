// needs: entry, map, merge_moments, apply, finish_train
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

fn map_of(lane: Lane) -> Map {
    if (has(FROM_MOMENTS)) {
        let c = params.all_channels;
        let at = lane.channel;
        return finish_train(lane, given[at], Partial(params.total, given[c + at], given[2u * c + at]));
    }
    let pivot = merged_pivot(lane);
    return finish_train(lane, pivot, merged_moments(lane, pivot));
}
