// needs: partial_moments
// What the moments of a batch say of it, where each of its `params.total` values counts as one.
fn variance_of(batch: Partial) -> PerChannel {
    return batch.m2 / params.total;
}

// The unbiased variance over the biased one, where running statistics take that, or 1.
fn correction_of(batch: Partial) -> f32 {
    return params.correction;
}

// Whether running statistics may take it.
fn is_counted(batch: Partial) -> bool {
    return true;
}

// What moments have beside the mean.
fn squares_of(batch: Partial) -> PerChannel {
    return batch.m2;
}
