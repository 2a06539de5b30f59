// needs: numerics
// For f32: NaN where the statistics are not finite.
fn converted(y: Value, finite: Flag) -> Value {
    return or_nan(y, finite);
}
