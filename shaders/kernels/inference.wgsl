// Inference and the functional normalization: y from statistics that the batch does not move.
@group(0) @binding(1) var<storage, read_write> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
@group(0) @binding(4) var<storage, read_write> affine: array<f32>;
// mean, variance, … or pivot, offset, m2: `[3][C]`.
@group(0) @binding(5) var<storage, read_write> frozen: array<f32>;

fn run(lane: Lane) {
    apply(lane, frozen_statistics(lane.channel));
}
