// needs: load
// Moments that the caller gives: pivot, offset, m2: `[3][C]`.
@group(0) @binding(12) var<storage, read_write> given: array<PerChannel>;
