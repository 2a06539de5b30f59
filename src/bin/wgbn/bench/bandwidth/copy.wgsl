// Copies source to destination: each lane `per_lane` vectors, `team` apart, a team side by side.

override WORKGROUP: u32 = 64u;

struct Params {
    lanes: u32,
    team: u32,
    per_lane: u32,
    unused: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> destination: array<vec4<f32>>;

fn first(lane: u32) -> u32 {
    return lane / params.team * params.team * params.per_lane + lane % params.team;
}

@compute @workgroup_size(WORKGROUP)
fn one(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = (group.y * groups.x + group.x) * WORKGROUP + local;
    if lane >= params.lanes {
        return;
    }
    var at = first(lane);
    for (var k = 0u; k < params.per_lane; k++) {
        destination[at] = source[at];
        at += params.team;
    }
}

@compute @workgroup_size(WORKGROUP)
fn four(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = (group.y * groups.x + group.x) * WORKGROUP + local;
    if lane >= params.lanes {
        return;
    }
    let team = params.team;
    var at = first(lane);
    for (var k = 0u; k < params.per_lane; k += 4u) {
        let a = source[at];
        let b = source[at + team];
        let c = source[at + 2u * team];
        let d = source[at + 3u * team];
        destination[at] = a;
        destination[at + team] = b;
        destination[at + 2u * team] = c;
        destination[at + 3u * team] = d;
        at += 4u * team;
    }
}
