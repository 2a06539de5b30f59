// Backward's second dispatch where dx is not left to do: merges the sums into dweight and dbias.
@group(0) @binding(7) var<storage, read_write> partials: array<vec2<f32>>;
@group(0) @binding(8) var<storage, read_write> grads: array<f32>;

fn run(lane: Lane) {
    let sums = merged_sums(lane);
    write_gradients(lane, sums, is_finite(sums.dy) && is_finite(sums.dy_x));
}
