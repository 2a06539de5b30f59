// needs: numerics
// For formats without NaN: 0 where a value is one, or the statistics are not finite.
fn converted(y: Value, finite: Flag) -> Value {
    return select(Value(0.0), y, finite & is_number(y));
}
