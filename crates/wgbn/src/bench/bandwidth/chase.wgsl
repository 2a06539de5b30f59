// Follows a chain of places, each lane PER_LANE steps. A load waits for the one before it, so that lanes idle nearly all of
// the time, and a device runs as many side by side as it has room for.

override WORKGROUP: u32 = 256u;
// Every program of this benchmark is given one; here all lanes are one team, which is 0.
override TEAM: u32 = 0u;
override PER_LANE: u32 = 512u;

struct Params {
    lanes: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> next: array<u32>;
@group(0) @binding(2) var<storage, read_write> ends: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn chase(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = (group.y * groups.x + group.x) * WORKGROUP + local;
    if lane >= params.lanes {
        return;
    }
    var at = local + TEAM;
    for (var k = 0u; k < PER_LANE; k++) {
        at = next[at];
    }
    ends[lane] = at;
}
