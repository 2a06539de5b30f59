// What maps x to y: `((x - pivot) - offset)·scale + bias`, NaN where the statistics are not finite.
struct Affine {
    pivot: PerChannel,
    offset: PerChannel,
    scale: PerChannel,
    bias: PerChannel,
    finite: Flag,
}

fn affine_of(channel: u32, s: Statistics) -> Affine {
    let scale = s.inv_std * weight_of(channel);
    return Affine(s.pivot, s.offset, scale, bias_of(channel), s.finite);
}

fn apply_to(value: Value, a: Affine) -> Word {
    return encode((centered(value, a.pivot) - a.offset) * a.scale + a.bias, a.finite);
}

// Over the lane's positions.
fn apply(lane: Lane, affine: ptr<function, array<Affine, COLUMNS>>) {
    var walker = walk(lane.local, lane.first);
    var left = lane.len;
    if (COLUMNS == 1u) {
        // All loads before all stores: x and y might overlap for all a compiler knows.
        for (; left >= 4u; left -= 4u) {
            let at = next4(&walker);
            let a = decode(x[at.x]);
            let b = decode(x[at.y]);
            let c = decode(x[at.z]);
            let d = decode(x[at.w]);
            y[at.x] = apply_to(a, (*affine)[0]);
            y[at.y] = apply_to(b, (*affine)[0]);
            y[at.z] = apply_to(c, (*affine)[0]);
            y[at.w] = apply_to(d, (*affine)[0]);
        }
    }
    for (; left > 0u; left--) {
        let at = next(&walker);
        for (var k = 0u; k < COLUMNS; k++) {
            let here = at + k * params.columns;
            y[here] = apply_to(decode(x[here]), (*affine)[k]);
        }
    }
}
