// Inference and the functional normalization: y from statistics that the batch does not move.
@group(0) @binding(1) var<storage, read_write> x: array<Word>;
@group(0) @binding(2) var<storage, read_write> y: array<Word>;
@group(0) @binding(4) var<storage, read_write> affine: array<PerChannel>;
// mean, variance, … or pivot, offset, m2: `[3][C]`.
@group(0) @binding(5) var<storage, read_write> frozen: array<PerChannel>;

fn run(lane: Lane) {
    var maps: array<Affine, COLUMNS>;
    for (var k = 0u; k < COLUMNS; k++) {
        let channel = column(lane, k).channel;
        maps[k] = affine_of(channel, frozen_statistics(channel));
    }
    apply(lane, &maps);
}
