// Backward through batch statistics, first dispatch: partial Σdy and Σdy·x̂ of every channel.
@group(0) @binding(1) var<storage, read_write> x: array<u32>;
@group(0) @binding(3) var<storage, read_write> dy: array<u32>;
@group(0) @binding(6) var<storage, read_write> saved: array<f32>;
// (Σdy, Σdy·x̂), `[C][splits]`.
@group(0) @binding(7) var<storage, read_write> partials: array<vec2<f32>>;

// dx waits for the sums.
fn visit4(tile: Tile, scale: f32, finite: bool) {
}

fn visit(at: u32, pair: Pair, scale: f32, finite: bool) {
}

fn run(lane: Lane) {
    write_sums(lane, saved_statistics(lane.channel), 0.0);
}
