// needs: entry, numerics, merge_sums, write_gradients
// Backward's second dispatch where dx is not left to do: merges the sums into dweight and dbias.
@group(0) @binding(7) var<storage, read_write> partials: array<Partial>;
@group(0) @binding(8) var<storage, read_write> grads: array<PerChannel>;

fn run(lane: Lane) {
    for (var k = 0u; k < COLUMNS; k++) {
        let here = column(lane, k);
        let sums = merged_sums(here);
        // What overflows dweight, or makes it NaN, leaves dbias as it is.
        let bias_finite = is_finite(sums.dz);
        write_gradients(here, sums, bias_finite & is_finite(sums.dz_x), bias_finite);
    }
}
