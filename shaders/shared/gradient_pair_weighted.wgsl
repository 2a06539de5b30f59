// needs: numerics, x, dy, residual, activation, statistics, weighted
// x̂ and dz as without weights, and the weight. Padding is read as a dy of 0 at the pivot, whatever is there: what it adds to
// sums is 0.
struct Pair {
    xhat: Value,
    dz: Value,
    weight: Weight,
}

fn knows_dz(s: Statistics) -> Flag {
    return s.finite | Flag(ACTIVATION == 0u);
}

// What is stored as dresidual and as dx through frozen statistics: in padding 0, else NaN where it is not known. So all of
// it is known.
fn dresidual_of(pair: Pair, s: Statistics) -> Value {
    let nan = bitcast<Value>(ValueBits(nan_bits()));
    let dz = select(nan, pair.dz, ValueFlag(knows_dz(s)));
    return select(Value(0.0), dz, is_inside(pair.weight));
}

fn knows_dresidual(s: Statistics) -> Flag {
    return Flag(true);
}

fn frozen_dx(pair: Pair, s: Statistics) -> Value {
    return select(Value(0.0), pair.dz * s.scale, is_inside(pair.weight));
}

fn knows_dx(s: Statistics) -> Flag {
    return Flag(true);
}

fn load_pair(at: u32, s: Statistics) -> Pair {
    return pair_of(at, x_at(at), dy_at(at), s);
}

fn pair_of(at: u32, x: Value, dy: Value, s: Statistics) -> Pair {
    let weight = weight_at(at);
    let inside = is_inside(weight);
    let distance = centered(select(Value(s.pivot), x, inside), s.pivot) - s.offset;
    var dz = select(Value(0.0), dy, inside);
    if (ACTIVATION != 0u) {
        dz = through_activation(dz, with_residual(at, distance * s.scale + s.bias));
    }
    return Pair(distance * s.inv_std, dz, weight);
}
