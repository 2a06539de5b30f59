// x̂ and dy. The product dy·x̂ stays in range where dy·(x−μ) might not.
struct Pair {
    xhat: Value,
    dy: Value,
}

fn load_pair(at: u32, s: Statistics) -> Pair {
    return Pair((centered(decode(x[at]), s.pivot) - s.offset) * s.inv_std, decode(dy[at]));
}
