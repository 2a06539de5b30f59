// needs: entry, store, frozen, lane_sums, write_sums, out, dresidual, affine, frozen_rows, stored_sums
// Backward through frozen statistics, first dispatch: dx = dz·weight·inv_std, which needs no sums, and the
// partial sums on the way.
//
// Each lane reads its share of x, dy and, behind an activation, the residual, once, and writes dx and
// dresidual to the same positions. The lanes of a team read neighbouring words at a time: those of one run,
// or of channels side by side.
// One lane of each workgroup writes a partial for each of the workgroup's channels.
// Barriers: those of `reduce`, behind dx.
// Registers a lane on Ampere (NVK, f32, no activation): 46 by values, 71 by fours of a run, 106 by fours
// of channels.

fn visit(at: u32, pair: Pair, s: Statistics) {
    store_dresidual(at, dresidual_of(pair, s), knows_dresidual(s));
    if (has(HAS_DX)) {
        store(at, frozen_dx(pair, s), knows_dx(s));
    }
}

fn source_of(lane: Lane) -> Source {
    return frozen_statistics(lane.channel);
}
