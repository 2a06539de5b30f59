// Backward's second dispatch where dx is not left to do: merges the sums into dweight and dbias.
@group(0) @binding(7) var<storage, read_write> partials: array<vec2<f32>>;
@group(0) @binding(8) var<storage, read_write> grads: array<f32>;

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
    let sums = merged_sums(lane);
    write_gradients(lane, sums, is_finite(sums.dy) && is_finite(sums.dy_x));
}
