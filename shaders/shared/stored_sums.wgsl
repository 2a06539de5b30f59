// needs: partial_sums
// Partials between two dispatches: `[C][partials]`.
@group(0) @binding(7) var<storage, read_write> partials: array<Partial>;
