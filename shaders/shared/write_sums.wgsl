// needs: numerics, lanes, partial_sums, reduce_workgroup
// Stores the partial sums of the lane's workgroup. Where the statistics are not finite, Σdz is NaN, and with it
// both gradients.
fn store_part(lane: Lane, s: Source, part: Partial) {
    let whole = reduce(lane, part, params.slots);
    if (lane.live && lane.slot == 0u) {
        partials[partial_of(lane)] = Partial(or_nan(whole.dz, s.finite), whole.dz_x);
    }
}
