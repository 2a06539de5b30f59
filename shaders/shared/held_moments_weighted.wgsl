// needs: numerics, weighted, weighted_moments, held, candidates
// The moments of what a lane holds, by weights.
alias Source = PerChannel;
alias Taken = Weighted;

// As it lies: it is mapped, too, where it has no weight.
fn take(first: Source, at: u32) -> Taken {
    return Weighted(x_at(at), weight_at(at));
}

// The mean is found about the first value of the channel; where that is light, about the mean of what each lane finds
// heaviest. All lanes of the workgroup must call it.
fn held_start(lane: Lane, x: Held, first: PerChannel) -> PerChannel {
    var found = held_candidate(x.a, lane.len > 0u);
    found = heavier(found, held_candidate(x.b, HELD > 1u && lane.len > 1u));
    found = heavier(found, held_candidate(x.c, HELD > 2u && lane.len > 2u));
    found = heavier(found, held_candidate(x.d, HELD > 2u && lane.len > 3u));
    found = heavier(found, held_candidate(x.e, HELD > 4u && lane.len > 4u));
    found = heavier(found, held_candidate(x.f, HELD > 4u && lane.len > 5u));
    found = heavier(found, held_candidate(x.g, HELD > 4u && lane.len > 6u));
    found = heavier(found, held_candidate(x.h, HELD > 4u && lane.len > 7u));
    let all = agreed(lane, found);
    // One decision for all lanes.
    let weight = first_weight(weighted_at(address_of(lane.local, 0u)).weight);
    return select(all.offset, first, weight * f32(params.slots) > all.count * 0.001);
}

fn held_candidate(x: Weighted, is_held: bool) -> Candidate {
    let found = candidate(in_sums(x));
    return Candidate(found.value, select(0.0, found.weight, is_held));
}

fn held_or_none(x: Weighted, pivot: PerChannel, is_held: bool) -> Weighted {
    let e = about(in_sums(x), pivot);
    return Weighted(select(Value(0.0), e.value, is_held), select(Weight(0.0), e.weight, is_held));
}

// The held values less `pivot`, without weight where the lane has none.
fn held_about(x: Held, pivot: PerChannel, len: u32) -> Held {
    return Held(
        held_or_none(x.a, pivot, len > 0u),
        held_or_none(x.b, pivot, HELD > 1u && len > 1u),
        held_or_none(x.c, pivot, HELD > 2u && len > 2u),
        held_or_none(x.d, pivot, HELD > 2u && len > 3u),
        held_or_none(x.e, pivot, HELD > 4u && len > 4u),
        held_or_none(x.f, pivot, HELD > 4u && len > 5u),
        held_or_none(x.g, pivot, HELD > 4u && len > 6u),
        held_or_none(x.h, pivot, HELD > 4u && len > 7u),
    );
}

fn square(x: Weighted) -> Value {
    return x.value * weighed_value(x);
}

fn held_mean(e: Held, len: u32) -> Partial {
    let near_weight = (e.a.weight + e.b.weight) + (e.c.weight + e.d.weight);
    let far_weight = (e.e.weight + e.f.weight) + (e.g.weight + e.h.weight);
    let weight = sum_of(near_weight + far_weight);
    let near = (weighed_value(e.a) + weighed_value(e.b)) + (weighed_value(e.c) + weighed_value(e.d));
    let far = (weighed_value(e.e) + weighed_value(e.f)) + (weighed_value(e.g) + weighed_value(e.h));
    return Partial(weight, fold(near + far) / divisor(weight), PerChannel(0.0));
}

fn held_moments(e: Held, len: u32) -> Partial {
    var part = held_mean(e, len);
    let d = held_about(e, part.offset, len);
    let near = (square(d.a) + square(d.b)) + (square(d.c) + square(d.d));
    let far = (square(d.e) + square(d.f)) + (square(d.g) + square(d.h));
    part.m2 = fold(near + far);
    return part;
}
