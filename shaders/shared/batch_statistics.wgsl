// needs: numerics, batch_total, statistics
// The statistics that the moments of a batch make.
fn batch_statistics(channel: u32, pivot: PerChannel, batch: Partial) -> Statistics {
    let variance = variance_of(batch);
    let finite = is_finite(pivot + batch.offset) & is_finite(variance);
    let inv_std = inverse_sqrt(variance + params.eps);
    return statistics_of(channel, pivot, batch.offset, inv_std, finite);
}
