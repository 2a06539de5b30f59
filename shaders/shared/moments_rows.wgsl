// needs: load
// pivot, offset, m2: `[3][C]`.
@group(0) @binding(5) var<storage, read_write> moments: array<PerChannel>;
