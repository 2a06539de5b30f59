// needs: entry, resident, saved, lane_sums, write_dx, write_gradients, dresidual
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

fn map_of(lane: Lane, s: Source, part: Partial) -> Map {
    let sums = reduce(lane, part, params.slots);
    let map = dx_map(s, sums);
    write_gradients(lane, sums, map.finite, map.finite);
    return map;
}
