// needs: lanes
// Where what a channel's partials were merged to lies, for a pass behind: over the first of them, as there may be no room
// behind.
fn fold_to(channel: u32) -> u32 {
    return channel * params.partials;
}

fn folded_at(channel: u32) -> u32 {
    return channel * params.partials;
}

// Other lanes of the workgroup read the first partial. All of them call it.
fn before_folding() {
    storageBarrier();
}
