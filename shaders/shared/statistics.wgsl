// A channel's statistics, ready to normalize with.
struct Statistics {
    pivot: PerChannel,
    offset: PerChannel,
    inv_std: PerChannel,
    // Where the statistics are not finite, results are NaN.
    finite: Flag,
}
