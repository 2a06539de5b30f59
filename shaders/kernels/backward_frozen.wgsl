// Backward through frozen statistics, first dispatch: dx = dy·weight·inv_std, which needs no sums,
// and the partial sums on the way.
@group(0) @binding(1) var<storage, read_write> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> dx: array<u32>;
@group(0) @binding(3) var<storage, read_write> dy: array<u32>;
@group(0) @binding(4) var<storage, read_write> affine: array<f32>;
@group(0) @binding(5) var<storage, read_write> frozen: array<f32>;
@group(0) @binding(7) var<storage, read_write> partials: array<vec2<f32>>;

fn write4(tile: Tile, scale: f32, finite: bool) {
    if (has(HAS_DX)) {
        let value = tile.dy * scale;
        dx[tile.at.x] = select(encode(nan()), encode(value.x), finite);
        dx[tile.at.y] = select(encode(nan()), encode(value.y), finite);
        dx[tile.at.z] = select(encode(nan()), encode(value.z), finite);
        dx[tile.at.w] = select(encode(nan()), encode(value.w), finite);
    }
}

fn lane_frozen(lane: Lane, s: Statistics) -> Partial {
    let scale = s.inv_std * weight_of(lane.channel);
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
        write4(a, scale, s.finite);
        write4(b, scale, s.finite);
        write4(c, scale, s.finite);
        write4(d, scale, s.finite);
    }
    var left: Partial;
    for (var k = lane.len % 16u; k > 0u; k--) {
        let at = next(&walker);
        let pair = load_pair(at, s);
        left = merge(left, Partial(pair.dy, pair.dy * pair.x));
        if (has(HAS_DX)) {
            dx[at] = select(encode(nan()), encode(pair.dy * scale), s.finite);
        }
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
    let s = frozen_statistics(lane.channel);
    var part: Partial;
    if (lane.len > 0u) {
        part = lane_frozen(lane, s);
    }
    let whole = reduce(lane, part, params.slots);
    if (lane.live && lane.slot == 0u) {
        partials[partial_of(lane)] =
            vec2(whole.dy, select(nan(), whole.dy_x * s.inv_std, s.finite));
    }
}
