// Backward through frozen statistics, first dispatch: dx = dy·weight·inv_std, which needs no sums,
// and the partial sums on the way.
@group(0) @binding(1) var<storage, read_write> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> dx: array<u32>;
@group(0) @binding(3) var<storage, read_write> dy: array<u32>;
@group(0) @binding(4) var<storage, read_write> affine: array<f32>;
@group(0) @binding(5) var<storage, read_write> frozen: array<f32>;
// (Σdy, Σdy·x̂), `[C][splits]`.
@group(0) @binding(7) var<storage, read_write> partials: array<vec2<f32>>;

fn visit4(tile: Tile, scale: f32, finite: bool) {
    if (has(HAS_DX)) {
        let value = tile.dy * scale;
        dx[tile.at.x] = select(encode(nan()), encode(value.x), finite);
        dx[tile.at.y] = select(encode(nan()), encode(value.y), finite);
        dx[tile.at.z] = select(encode(nan()), encode(value.z), finite);
        dx[tile.at.w] = select(encode(nan()), encode(value.w), finite);
    }
}

fn visit(at: u32, pair: Pair, scale: f32, finite: bool) {
    if (has(HAS_DX)) {
        dx[at] = select(encode(nan()), encode(pair.dy * scale), finite);
    }
}

fn run(lane: Lane) {
    let s = frozen_statistics(lane.channel);
    write_sums(lane, s, s.inv_std * weight_of(lane.channel));
}
