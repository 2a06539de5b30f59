// Backward through batch statistics, first dispatch: partial Σdy and Σdy·x̂ of every channel.
@group(0) @binding(1) var<storage, read_write> x: array<u32>;
@group(0) @binding(3) var<storage, read_write> dy: array<u32>;
@group(0) @binding(6) var<storage, read_write> saved: array<f32>;
// (Σdy, Σdy·x̂), `[C][splits]`.
@group(0) @binding(7) var<storage, read_write> partials: array<vec2<f32>>;

fn lane_sums(lane: Lane, s: Statistics) -> Partial {
    var walker = walk(lane.local, lane.first);
    var cascade: Cascade;
    for (var tile = lane.len / 16u; tile > 0u; tile--) {
        let a = load_tile(&walker, s);
        let b = load_tile(&walker, s);
        let c = load_tile(&walker, s);
        let d = load_tile(&walker, s);
        let sum = (a.dy + b.dy) + (c.dy + d.dy);
        let product = (a.dy * a.x + b.dy * b.x) + (c.dy * c.x + d.dy * d.x);
        push(&cascade, Partial(sum4(sum), sum4(product)));
    }
    var left: Partial;
    for (var k = lane.len % 16u; k > 0u; k--) {
        let pair = load_pair(next(&walker), s);
        left = merge(left, Partial(pair.dy, pair.dy * pair.x));
    }
    push(&cascade, left);
    return total(cascade);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let workgroup = id.y * grid.x + id.x;
    if (workgroup >= params.groups * params.splits) {
        return;
    }
    let lane = locate(workgroup, index);
    let s = saved_statistics(lane.channel);
    var part: Partial;
    if (lane.len > 0u) {
        part = lane_sums(lane, s);
    }
    let whole = reduce(lane, part, params.slots);
    if (lane.live && lane.slot == 0u) {
        partials[partial_of(lane)] =
            vec2(whole.dy, select(nan(), whole.dy_x * s.inv_std, s.finite));
    }
}
