// Shows that a device runs what is submitted. The host uploads one seed to every word; each lane mixes
// its index into its own. Without the upload, or without the run, the words are not what the host expects.

@group(0) @binding(0) var<storage, read_write> pattern: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < arrayLength(&pattern)) {
        // 24 bits, which an f32 holds exactly: findings are f32.
        pattern[id.x] = ((pattern[id.x] + id.x) * 2654435769u) >> 8u;
    }
}
