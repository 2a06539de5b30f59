// needs: entry, numerics, merge_sums, write_gradients, stored_sums, grads
// Backward's second dispatch where dx is not left to do: merges the sums into dweight and dbias.
//
// One workgroup for each group of channels reads their partials, which lie behind each other for a channel,
// and writes two values a channel. The tensor is not touched.
// Barriers: those of `reduce`.
// Registers a lane on Ampere (NVK, f32, no activation): 21 by values, 39 by fours of channels.

fn run(lane: Lane) {
    for (var k = 0u; k < COLUMNS; k++) {
        let here = column(lane, k);
        let sums = merged_sums(here);
        // What overflows dweight, or makes it NaN, leaves dbias as it is.
        let bias_finite = is_finite(sums.dz);
        write_gradients(here, sums, bias_finite & is_finite(sums.dz_x), bias_finite);
    }
}
