// Partial Σdy and Σdy·x̂ of the lane's channel. `visit4` and `visit` see every value on the way, with
// the scale given here.
fn lane_sums(lane: Lane, s: Statistics, scale: f32) -> Partial {
    var walker = walk(lane.local, lane.first);
    var cascade: Cascade;
    for (var tile = lane.len / 16u; tile > 0u; tile--) {
        let a = load_tile(&walker, s);
        let b = load_tile(&walker, s);
        let c = load_tile(&walker, s);
        let d = load_tile(&walker, s);
        let sum = (a.dy + b.dy) + (c.dy + d.dy);
        let product = (a.dy * a.xhat + b.dy * b.xhat) + (c.dy * c.xhat + d.dy * d.xhat);
        push(&cascade, Partial(sum4(sum), sum4(product)));
        visit4(a, scale, s.finite);
        visit4(b, scale, s.finite);
        visit4(c, scale, s.finite);
        visit4(d, scale, s.finite);
    }
    var left: Partial;
    for (var k = lane.len % 16u; k > 0u; k--) {
        let at = next(&walker);
        let pair = load_pair(at, s);
        left = merge(left, Partial(pair.dy, pair.dy * pair.xhat));
        visit(at, pair, scale, s.finite);
    }
    push(&cascade, left);
    return total(cascade);
}

fn write_sums(lane: Lane, s: Statistics, scale: f32) {
    var part: Partial;
    if (lane.len > 0u) {
        part = lane_sums(lane, s, scale);
    }
    let whole = reduce(lane, part, params.slots);
    if (lane.live && lane.slot == 0u) {
        partials[partial_of(lane)] =
            vec2(whole.dy, select(nan(), whole.dy_x, s.finite));
    }
}
