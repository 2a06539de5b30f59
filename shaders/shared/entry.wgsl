// needs: params, lanes
// The entry of every kernel. `run` is the kernel's own, or that of all kernels of its kind, in
// `columns`. Workgroups past the last, where the grid was folded, return as a whole, so barriers
// behind stay in uniform control flow.
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let workgroups = params.groups * params.splits;
    var workgroup = id.y * grid.x + id.x;
    if (workgroup >= workgroups) {
        return;
    }
    if (has(REVERSED)) {
        workgroup = workgroups - 1u - workgroup;
    }
    run(locate(workgroup, index));
}
