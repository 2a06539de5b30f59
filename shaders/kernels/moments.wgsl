// needs: entry, store, lane_moments, reduce_workgroup
// Training forward, first dispatch: partial moments of every channel about its pivot.
// `[C][splits]`.
@group(0) @binding(7) var<storage, read_write> partials: array<Stored>;

fn store_part(lane: Lane, pivot: Source, part: Partial) {
    let whole = reduce(lane, part, params.slots);
    if (lane.live && lane.slot == 0u) {
        partials[partial_of(lane)] = Stored(whole, pivot);
    }
}
