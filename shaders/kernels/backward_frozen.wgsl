// needs: entry, store, frozen, lane_sums, write_sums, out, dresidual
// Backward through frozen statistics, first dispatch: dx = dy·weight·inv_std, which needs no sums,
// and the partial sums on the way.
@group(0) @binding(4) var<storage, read_write> affine: array<PerChannel>;
@group(0) @binding(5) var<storage, read_write> frozen: array<PerChannel>;
// `[C][splits]`.
@group(0) @binding(7) var<storage, read_write> partials: array<Partial>;

fn visit(at: u32, pair: Pair, s: Statistics) {
    store_dresidual(at, pair.dz, s.finite);
    if (has(HAS_DX)) {
        store(at, pair.dz * s.scale, s.finite);
    }
}

fn source_of(lane: Lane) -> Source {
    return frozen_statistics(lane.channel);
}
