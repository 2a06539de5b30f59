// needs: lanes
// Where what a channel's partials were merged to lies, for a pass behind: after all partials. To write it, and to read it.
fn fold_to(channel: u32) -> u32 {
    return params.all_channels * params.partials + channel;
}

fn folded_at(channel: u32) -> u32 {
    return params.partials_start + channel;
}

// All lanes of a workgroup call it between the two.
fn before_folding() {
}
