// needs: numerics, x, partial_moments, pivot
// Partial moments of a channel about its pivot.
alias Source = PerChannel;

fn source_of(lane: Lane) -> Source {
    return pivot_of(lane.local);
}

// With the `tile`-th four loads.
fn add_tile(part: Partial, pivot: Source, at: vec4<u32>, tile: u32) -> Partial {
    let share = 1.0 / f32(tile);
    let a = load_one(pivot, at.x);
    let b = load_one(pivot, at.y);
    let c = load_one(pivot, at.z);
    let d = load_one(pivot, at.w);
    return merge_share(part, tile_moments(a, b, c, d), share);
}

fn load_one(pivot: Source, at: u32) -> Value {
    return centered(x_at(at), pivot);
}

fn part_of(pivot: Source, at: u32, load: Value) -> Partial {
    return load_moments(load);
}
