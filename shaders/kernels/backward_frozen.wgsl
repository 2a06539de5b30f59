// Backward through frozen statistics, first dispatch: dx = dy·weight·inv_std, which needs no sums,
// and the partial sums on the way.
@group(0) @binding(1) var<storage, read_write> x: array<Word>;
@group(0) @binding(2) var<storage, read_write> dx: array<Word>;
@group(0) @binding(3) var<storage, read_write> dy: array<Word>;
@group(0) @binding(4) var<storage, read_write> affine: array<PerChannel>;
@group(0) @binding(5) var<storage, read_write> frozen: array<PerChannel>;
// `[C][splits]`.
@group(0) @binding(7) var<storage, read_write> partials: array<Partial>;

fn visit(at: u32, pair: Pair, scale: PerChannel, finite: Flag) {
    if (has(HAS_DX)) {
        dx[at] = encode(pair.dy * scale, finite);
    }
}

fn run(lane: Lane) {
    var s: array<Statistics, COLUMNS>;
    var scale: array<PerChannel, COLUMNS>;
    for (var k = 0u; k < COLUMNS; k++) {
        let channel = column(lane, k).channel;
        s[k] = frozen_statistics(channel);
        scale[k] = s[k].inv_std * weight_of(channel);
    }
    write_sums(lane, &s, &scale);
}
