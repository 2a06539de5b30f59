// Copies source to destination: each lane PER_LANE vectors, the lanes of a team side by side.

override WORKGROUP: u32 = 64u;
// Compilers that know how lanes lie side by side join their loads. No team: all lanes are one.
override TEAM: u32 = 0u;
override PER_LANE: u32 = 4u;

struct Params {
    lanes: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> destination: array<vec4<f32>>;

fn first(lane: u32, local: u32) -> u32 {
    let team = max(TEAM, 1u);
    return select(lane / team * (team * PER_LANE) + local % team, lane, TEAM == 0u);
}

fn stride() -> u32 {
    return select(TEAM, params.lanes, TEAM == 0u);
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
    let team = stride();
    var at = first(lane, local);
    for (var k = 0u; k < PER_LANE; k++) {
        destination[at] = source[at];
        at += team;
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
    let team = stride();
    var at = first(lane, local);
    for (var k = 0u; k < PER_LANE; k += 4u) {
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
