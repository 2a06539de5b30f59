// needs: numerics, x, dy, residual, activation, statistics
// x̂ and dz = dy·g'(z + residual), z recomputed as forward had it. The product dz·x̂ stays in range
// where dz·(x−μ) might not.
struct Pair {
    xhat: Value,
    dz: Value,
}

fn load_pair(at: u32, s: Statistics) -> Pair {
    let distance = centered(x_at(at), s.pivot) - s.offset;
    var dz = dy_at(at);
    if (ACTIVATION != 0u) {
        dz = through_activation(dz, with_residual(at, distance * s.scale + s.bias));
    }
    return Pair(distance * s.inv_std, dz);
}
