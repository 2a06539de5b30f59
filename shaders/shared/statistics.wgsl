// A channel's statistics, ready to normalize with.
struct Statistics {
    pivot: f32,
    offset: f32,
    inv_std: f32,
    // Where the statistics are not finite, results are NaN.
    finite: bool,
}
