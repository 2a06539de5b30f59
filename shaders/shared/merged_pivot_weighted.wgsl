// needs: lanes, stored_moments
// The pivot about which a channel's partials are merged: that of the first with any weight.
fn merged_pivot(lane: Lane) -> PerChannel {
    let first = lane.channel * params.partials;
    var k = 0u;
    while (k + 1u < params.partials && partials[first + k].moments.count == 0.0) {
        k++;
    }
    return partials[first + k].pivot;
}
