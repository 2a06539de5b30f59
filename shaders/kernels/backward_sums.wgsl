// needs: entry, store, saved, lane_sums, write_sums, dresidual
// Backward through batch statistics, first dispatch: partial Σdy and Σdy·x̂ of every channel.
@group(0) @binding(4) var<storage, read_write> affine: array<PerChannel>;
@group(0) @binding(6) var<storage, read_write> saved: array<PerChannel>;
// `[C][splits]`.
@group(0) @binding(7) var<storage, read_write> partials: array<Partial>;

// dx waits for the sums.
fn visit(at: u32, pair: Pair, s: Statistics) {
    store_dresidual(at, pair.dz, s.finite);
}
