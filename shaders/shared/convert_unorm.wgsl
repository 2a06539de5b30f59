// For formats without NaN: 0 where a value is one, or the statistics are not finite.
fn converted(y: Value, finite: Flag) -> Value {
    let number = (bitcast<ValueBits>(y) & ValueBits(0x7fffffffu)) <= ValueBits(0x7f800000u);
    return select(Value(0.0), y, finite & number);
}
