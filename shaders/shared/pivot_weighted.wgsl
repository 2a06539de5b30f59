// needs: walk, next4, candidates
fn sample(channel: u32, fraction: f32) -> Candidate {
    let last = params.count - 1u;
    let position = min(u32(f32(last) * fraction), last);
    return candidate(weighted_at(address_of(channel, position)));
}

// A light value may be far from where most of the weight is.
fn unless_light(one: Candidate, other: Candidate) -> PerChannel {
    return select(other.value, one.value, one.weight > other.weight * 0.001);
}

// The median of five samples, as without weights, of which light ones are replaced by the heaviest. Where none has weight,
// each lane looks for the first of its own that have some, and all take the mean of what they find. All lanes of the
// workgroup must call it.
fn pivot_of(lane: Lane) -> PerChannel {
    let channel = lane.local;
    let one = sample(channel, 0.0901699);
    let two = sample(channel, 0.2360680);
    let three = sample(channel, 0.4721360);
    let four = sample(channel, 0.6180340);
    let five = sample(channel, 0.8541020);
    let heaviest = heavier(heavier(one, two), heavier(three, heavier(four, five)));
    let a = unless_light(one, heaviest);
    let b = unless_light(two, heaviest);
    let c = unless_light(three, heaviest);
    let d = unless_light(four, heaviest);
    let e = unless_light(five, heaviest);
    let low = max(min(a, b), min(c, d));
    let high = min(max(a, b), max(c, d));
    var found = Candidate(max(min(low, high), min(max(low, high), e)), heaviest.weight);
    var walker = walk(channel, lane.first);
    var left = lane.len;
    while (left > 0u && found.weight == 0.0) {
        let at = first_of4(next4(&walker), left);
        let near = heavier(candidate(weighted_at(at.x)), candidate(weighted_at(at.y)));
        let far = heavier(candidate(weighted_at(at.z)), candidate(weighted_at(at.w)));
        found = heavier(near, far);
        left -= min(left, 4u);
    }
    return agreed(lane, found).offset;
}
