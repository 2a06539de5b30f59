// Sums source into one value a workgroup; `finish` sums those. Lanes read as in copy.wgsl.

override WORKGROUP: u32 = 64u;
override TEAM: u32 = 0u;
override PER_LANE: u32 = 4u;

struct Params {
    lanes: u32,
    partials: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;
@group(0) @binding(3) var<storage, read_write> result: array<f32>;

var<workgroup> shared_sums: array<f32, WORKGROUP>;
// Lanes that sum the others' sums.
const FEW = 16u;

fn first(lane: u32, local: u32) -> u32 {
    let team = max(TEAM, 1u);
    return select(lane / team * (team * PER_LANE) + local % team, lane, TEAM == 0u);
}

fn stride() -> u32 {
    return select(TEAM, params.lanes, TEAM == 0u);
}

// Two barriers, however wide: some adapters pay for each.
fn workgroup_sum(local: u32, own: f32) -> f32 {
    shared_sums[local] = own;
    workgroupBarrier();
    var sum = 0.0;
    if local < FEW {
        for (var k = local; k < WORKGROUP; k += FEW) {
            sum += shared_sums[k];
        }
        // What this replaces nobody else read.
        shared_sums[local] = sum;
    }
    workgroupBarrier();
    sum = 0.0;
    if local == 0u {
        for (var k = 0u; k < min(FEW, WORKGROUP); k++) {
            sum += shared_sums[k];
        }
    }
    return sum;
}

@compute @workgroup_size(WORKGROUP)
fn four(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = group.y * groups.x + group.x;
    let lane = index * WORKGROUP + local;
    let team = stride();
    var a = vec4<f32>(0.0);
    var b = vec4<f32>(0.0);
    var c = vec4<f32>(0.0);
    var d = vec4<f32>(0.0);
    if lane < params.lanes {
        var at = first(lane, local);
        for (var k = 0u; k < PER_LANE; k += 4u) {
            a += source[at];
            b += source[at + team];
            c += source[at + 2u * team];
            d += source[at + 3u * team];
            at += 4u * team;
        }
    }
    let sum = workgroup_sum(local, dot((a + b) + (c + d), vec4<f32>(1.0)));
    if local == 0u && index < params.partials {
        partials[index] = sum;
    }
}

@compute @workgroup_size(WORKGROUP)
fn finish(@builtin(local_invocation_index) local: u32) {
    var sum = 0.0;
    for (var k = local; k < params.partials; k += WORKGROUP) {
        sum += partials[k];
    }
    sum = workgroup_sum(local, sum);
    if local == 0u {
        result[0] = sum;
    }
}
