// needs: entry, resident, lane_moments, apply, finish_train
// Training forward in one dispatch, where a workgroup holds its channels whole: the moments, then y,
// the saved and the running statistics.
// weight, bias: `[2][C]`.
@group(0) @binding(4) var<storage, read_write> affine: array<PerChannel>;
// mean and variance as f32 bits, batches: `[3][C]`.
@group(0) @binding(5) var<storage, read_write> running: array<PerChannelBits>;
// pivot, offset, inv_std, batch_mean, batch_var: `[5][C]`.
@group(0) @binding(6) var<storage, read_write> saved: array<PerChannel>;

fn map_of(lane: Lane, pivot: Source, part: Partial) -> Map {
    let batch = reduce(lane, part, params.slots);
    // Pivots were sampled where other lanes store next. A lane of several channels has them to itself.
    if (IN_PLACE && COLUMNS == 1u) {
        storageBarrier();
    }
    return finish_train(lane, pivot, batch);
}
