// needs: x, weight, numerics
// Values with their weights.
struct Weighted {
    value: Value,
    weight: Weight,
}

// Weight times value, which no compiler takes apart.
fn weighed(weight: Weight, value: Value) -> Value {
    return bitcast<Value>(bitcast<ValueBits>(weight * value) ^ ValueBits(params.zero));
}

fn weighed_value(x: Weighted) -> Value {
    return weighed(x.weight, x.value);
}

// Where a value is looked at, though its weight may be 0.
fn is_inside(weight: Weight) -> ValueFlag {
    return ValueFlag(!has(ZERO_OUTSIDE)) | are_something(weight);
}

// As sums see it: what has no weight is not looked at, and what is no weight makes the channel NaN, as a value that is not
// finite does.
fn in_sums(x: Weighted) -> Weighted {
    let value = select(Value(0.0), x.value, ValueFlag(x.weight > Weight(0.0)));
    let nan = bitcast<Value>(ValueBits(nan_bits()));
    return Weighted(select(nan, value, are_weights(x.weight)), sound(x.weight));
}

fn weighted_at(at: u32) -> Weighted {
    return in_sums(Weighted(x_at(at), weight_at(at)));
}
