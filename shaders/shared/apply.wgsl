// `y = ((x - pivot) - offset)·scale + bias` over the lane's positions; all NaN where the
// statistics are not finite.
fn apply(lane: Lane, s: Statistics) {
    let scale = s.inv_std * weight_of(lane.channel);
    let bias = bias_of(lane.channel);
    var walker = walk(lane.local, lane.first);
    for (var k = lane.len / 4u; k > 0u; k--) {
        let at = next4(&walker);
        let value = vec4(decode(x[at.x]), decode(x[at.y]), decode(x[at.z]), decode(x[at.w]));
        let normal = (centered4(value, s.pivot) - s.offset) * scale + bias;
        y[at.x] = select(encode(nan()), encode(normal.x), s.finite);
        y[at.y] = select(encode(nan()), encode(normal.y), s.finite);
        y[at.z] = select(encode(nan()), encode(normal.z), s.finite);
        y[at.w] = select(encode(nan()), encode(normal.w), s.finite);
    }
    for (var k = lane.len % 4u; k > 0u; k--) {
        let at = next(&walker);
        let normal = (centered(decode(x[at]), s.pivot) - s.offset) * scale + bias;
        y[at] = select(encode(nan()), encode(normal), s.finite);
    }
}
