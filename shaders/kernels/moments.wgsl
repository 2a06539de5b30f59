// Training forward, first dispatch: partial moments of every channel about its pivot.
@group(0) @binding(1) var<storage, read_write> x: array<u32>;
// (count, offset, m2, pivot), `[C][splits]`.
@group(0) @binding(7) var<storage, read_write> partials: array<vec4<f32>>;

fn load4(walker: ptr<function, Walker>, pivot: f32) -> vec4<f32> {
    let at = next4(walker);
    let words = vec4(x[at.x], x[at.y], x[at.z], x[at.w]);
    return centered4(vec4(decode(words.x), decode(words.y), decode(words.z), decode(words.w)), pivot);
}

fn lane_moments(lane: Lane, pivot: f32) -> Partial {
    var walker = walk(lane.local, lane.first);
    var cascade: Cascade;
    for (var tile = lane.len / 16u; tile > 0u; tile--) {
        let a = load4(&walker, pivot);
        let b = load4(&walker, pivot);
        let c = load4(&walker, pivot);
        let d = load4(&walker, pivot);
        push(&cascade, tile_moments(a, b, c, d));
    }
    // What is left is read twice: for its mean, then for the squares about it.
    let left = lane.len % 16u;
    if (left > 0u) {
        var again = walker;
        var sum = 0.0;
        for (var k = 0u; k < left; k++) {
            sum += centered(decode(x[next(&walker)]), pivot);
        }
        let mean = sum / f32(left);
        var m2 = 0.0;
        for (var k = 0u; k < left; k++) {
            let e = centered(decode(x[next(&again)]), pivot) - mean;
            m2 += e * e;
        }
        push(&cascade, Partial(f32(left), mean, m2));
    }
    return total(cascade);
}

fn run(lane: Lane) {
    let pivot = pivot_of(lane.local);
    var part: Partial;
    if (lane.len > 0u) {
        part = lane_moments(lane, pivot);
    }
    let whole = reduce(lane, part, params.slots);
    if (lane.live && lane.slot == 0u) {
        partials[partial_of(lane)] =
            vec4(whole.count, whole.offset, whole.m2, pivot);
    }
}
