// needs: numerics, lanes, partial_sums, reduce_workgroup
// Stores the partial sums of the lane's workgroup.
fn store_part(lane: Lane, s: Source, part: Partial) {
    let whole = reduce(lane, part, params.slots);
    if (lane.live && lane.slot == 0u) {
        partials[partial_of(lane)] = Partial(whole.dz, or_nan(whole.dz_x, s.finite));
    }
}
