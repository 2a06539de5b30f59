// needs: element
// What a device makes of f16, for the host to compare with what is right: `src/proof.rs`.
//
// The first lanes read the loads that the host left in `words`, `params.count` of them, and leave the values; the
// others round the host's values, and leave the words.
// Barriers: none.
@group(0) @binding(1) var<storage, read_write> words: array<Word>;
@group(0) @binding(2) var<storage, read_write> values: array<ValueBits>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let at = id.x * WORKGROUP + index;
    if (at < params.count) {
        values[at] = bitcast<ValueBits>(decode(words[at], at));
    } else if (at < arrayLength(&words)) {
        words[at] = encode(bitcast<Value>(values[at]), Flag(true));
    }
}
