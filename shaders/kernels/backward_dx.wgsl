// Backward through batch statistics, second dispatch: merges the sums, writes dweight, dbias and
// dx = weight·inv_std·(dy − dbias/m − x̂·dweight/m).
@group(0) @binding(1) var<storage, read_write> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> dx: array<u32>;
@group(0) @binding(3) var<storage, read_write> dy: array<u32>;
@group(0) @binding(4) var<storage, read_write> affine: array<f32>;
@group(0) @binding(6) var<storage, read_write> saved: array<f32>;
@group(0) @binding(7) var<storage, read_write> partials: array<vec2<f32>>;
// dweight, dbias: `[2][C]`.
@group(0) @binding(8) var<storage, read_write> grads: array<f32>;

fn run(lane: Lane) {
    let sums = merged_sums(lane);
    let s = saved_statistics(lane.channel);
    let finite = s.finite && is_finite(sums.dy) && is_finite(sums.dy_x);
    write_gradients(lane, sums, finite);

    let scale = s.inv_std * weight_of(lane.channel);
    let mean_dy = sums.dy / params.total;
    let mean_dy_x = sums.dy_x / params.total;
    var walker = walk(lane.local, lane.first);
    for (var k = lane.len / 4u; k > 0u; k--) {
        let tile = load_tile(&walker, s);
        let value = ((tile.dy - mean_dy) - tile.xhat * mean_dy_x) * scale;
        dx[tile.at.x] = select(encode(nan()), encode(value.x), finite);
        dx[tile.at.y] = select(encode(nan()), encode(value.y), finite);
        dx[tile.at.z] = select(encode(nan()), encode(value.z), finite);
        dx[tile.at.w] = select(encode(nan()), encode(value.w), finite);
    }
    for (var k = lane.len % 4u; k > 0u; k--) {
        let at = next(&walker);
        let pair = load_pair(at, s);
        let value = ((pair.dy - mean_dy) - pair.xhat * mean_dy_x) * scale;
        dx[at] = select(encode(nan()), encode(value), finite);
    }
}
