// needs: numerics, weighted_moments, pivot
// Partial moments of a channel about its pivot, by weights.
alias Source = PerChannel;

fn source_of(lane: Lane) -> Source {
    return pivot_of(lane);
}

// With four loads more.
fn add_tile(part: Partial, pivot: Source, at: vec4<u32>, tile: u32) -> Partial {
    let a = load_one(pivot, at.x);
    let b = load_one(pivot, at.y);
    let c = load_one(pivot, at.z);
    let d = load_one(pivot, at.w);
    return join(part, weighted_tile(a, b, c, d));
}

fn load_one(pivot: Source, at: u32) -> Weighted {
    return about(weighted_at(at), pivot);
}

fn part_of(pivot: Source, at: u32, load: Weighted) -> Partial {
    return weighted_load(load);
}
