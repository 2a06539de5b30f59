// needs: numerics, statistics, residual, activation
// y = g(z + residual), NaN where the statistics are not finite.
fn y_of(at: u32, value: Value, s: Statistics) -> Value {
    let z = (centered(value, s.pivot) - s.offset) * s.scale + s.bias;
    return activate(with_residual(at, z));
}
