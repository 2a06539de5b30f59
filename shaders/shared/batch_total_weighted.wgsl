// needs: numerics, partial_moments
// What the moments of a batch say of it: `batch.count` is the sum of its weights, W. Without any there is no variance.
fn variance_of(batch: Partial) -> PerChannel {
    return or_nan(batch.m2 / batch.count, Flag(batch.count > 0.0 && batch.count < 3.4028235e38));
}

// W/(W − 1), where running statistics take the unbiased variance. Weights of 1 give the bits of no weights.
fn correction_of(batch: Partial) -> f32 {
    if (batch.count == params.total || !has(UNBIASED)) {
        return params.correction;
    }
    return 1.0 + 1.0 / (batch.count - 1.0);
}

// Whether running statistics may take it.
fn is_counted(batch: Partial) -> bool {
    return batch.count > select(0.0, 1.0, has(UNBIASED));
}

// What moments have beside the mean.
fn squares_of(batch: Partial) -> PerChannel {
    if (has(PER_WEIGHT)) {
        return variance_of(batch);
    }
    return batch.m2;
}
