// needs: lanes, stored_moments
// The pivot about which a channel's partials are merged: the first's.
fn merged_pivot(lane: Lane) -> PerChannel {
    return partials[params.partials_start + lane.channel * params.partials].pivot;
}
