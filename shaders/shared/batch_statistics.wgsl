// needs: numerics, partial_moments, statistics
// The statistics that the moments of a batch make.
fn batch_statistics(channel: u32, pivot: PerChannel, batch: Partial) -> Statistics {
    let variance = batch.m2 / params.total;
    let finite = is_finite(pivot + batch.offset) & is_finite(variance);
    let inv_std = inverse_sqrt(variance + params.eps);
    return statistics_of(channel, pivot, batch.offset, inv_std, finite);
}
