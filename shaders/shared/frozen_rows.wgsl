// needs: load
// Statistics that the batch does not move: mean, variance and batches, or pivot, offset and m2: `[3][C]`.
@group(0) @binding(5) var<storage, read_write> frozen: array<PerChannel>;
