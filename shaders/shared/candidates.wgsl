// needs: weighted, lanes, partial_moments, reduce_workgroup
// A value that might be a pivot, and its weight: 0 where there is none.
struct Candidate {
    value: PerChannel,
    weight: f32,
}

fn candidate(x: Weighted) -> Candidate {
    return Candidate(heaviest_of(x.value, x.weight), heaviest(x.weight));
}

fn heavier(one: Candidate, other: Candidate) -> Candidate {
    let first = one.weight >= other.weight;
    return Candidate(select(other.value, one.value, first), max(one.weight, other.weight));
}

// What all lanes of the channel have found: the sum of the weights and, as `offset`, the mean. All lanes of the workgroup
// must call it.
fn agreed(lane: Lane, found: Candidate) -> Partial {
    return reduce(lane, Partial(found.weight, found.value, PerChannel(0.0)), params.slots);
}
