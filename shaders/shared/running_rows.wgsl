// needs: load
// mean and variance as f32 bits, batches: `[3][C]`. A count is no float: as one it would be
// subnormal, and might be flushed to zero.
@group(0) @binding(5) var<storage, read_write> running: array<PerChannelBits>;
