// needs: numerics, x, partial_moments, pivot
// Partial moments of a channel about its pivot.
alias Source = PerChannel;

fn source_of(lane: Lane) -> Source {
    return pivot_of(lane.local);
}

// With the `tile`-th four loads.
fn add_tile(part: Partial, pivot: Source, at: vec4<u32>, tile: u32) -> Partial {
    let share = 1.0 / f32(tile);
    let a = centered(x_at(at.x), pivot);
    let b = centered(x_at(at.y), pivot);
    let c = centered(x_at(at.z), pivot);
    let d = centered(x_at(at.w), pivot);
    return merge_share(part, tile_moments(a, b, c, d), share);
}

fn load_part(pivot: Source, at: u32) -> Partial {
    return load_moments(centered(x_at(at), pivot));
}
