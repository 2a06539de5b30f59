// Backward through batch statistics, first dispatch: partial Σdy and Σdy·x̂ of every channel.
@group(0) @binding(1) var<storage, read_write> x: array<Word>;
@group(0) @binding(3) var<storage, read_write> dy: array<Word>;
@group(0) @binding(6) var<storage, read_write> saved: array<PerChannel>;
// `[C][splits]`.
@group(0) @binding(7) var<storage, read_write> partials: array<Partial>;

// dx waits for the sums.
fn visit(at: u32, pair: Pair, scale: PerChannel, finite: Flag) {
}

fn run(lane: Lane) {
    var s = saved_statistics(lane);
    var unused: array<PerChannel, COLUMNS>;
    write_sums(lane, &s, &unused);
}
