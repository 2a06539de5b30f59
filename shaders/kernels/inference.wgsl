// needs: entry, map, frozen, apply
// Inference and the functional normalization: y from statistics that the batch does not move.
@group(0) @binding(4) var<storage, read_write> affine: array<PerChannel>;
// mean, variance, … or pivot, offset, m2: `[3][C]`.
@group(0) @binding(5) var<storage, read_write> frozen: array<PerChannel>;

fn map_of(lane: Lane) -> Map {
    return frozen_statistics(lane.channel);
}
