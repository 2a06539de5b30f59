// needs: numerics, x, dy, residual, activation, statistics
// x̂ and dz = dy·g'(z + residual), z recomputed as forward had it. The product dz·x̂ stays in range
// where dz·(x−μ) might not.
struct Pair {
    xhat: Value,
    dz: Value,
}

// Behind an activation dz is known where z is. Without one it is dy, whatever the statistics are.
fn knows_dz(s: Statistics) -> Flag {
    return s.finite | Flag(ACTIVATION == 0u);
}

// What is stored as dresidual and as dx through frozen statistics, and where these are known.
fn dresidual_of(pair: Pair, s: Statistics) -> Value {
    return pair.dz;
}

fn knows_dresidual(s: Statistics) -> Flag {
    return knows_dz(s);
}

fn frozen_dx(pair: Pair, s: Statistics) -> Value {
    return pair.dz * s.scale;
}

fn knows_dx(s: Statistics) -> Flag {
    return s.finite;
}

fn load_pair(at: u32, s: Statistics) -> Pair {
    return pair_of(at, x_at(at), dy_at(at), s);
}

fn pair_of(at: u32, x: Value, dy: Value, s: Statistics) -> Pair {
    let distance = centered(x, s.pivot) - s.offset;
    var dz = dy;
    if (ACTIVATION != 0u) {
        dz = through_activation(dz, with_residual(at, distance * s.scale + s.bias));
    }
    return Pair(distance * s.inv_std, dz);
}
