// A tile of x̂ and dy. The product dy·x̂ stays in range where dy·(x−μ) might not.
struct Tile {
    at: vec4<u32>,
    xhat: vec4<f32>,
    dy: vec4<f32>,
}

fn load_tile(walker: ptr<function, Walker>, s: Statistics) -> Tile {
    let at = next4(walker);
    let value = vec4(decode(x[at.x]), decode(x[at.y]), decode(x[at.z]), decode(x[at.w]));
    let upstream = vec4(decode(dy[at.x]), decode(dy[at.y]), decode(dy[at.z]), decode(dy[at.w]));
    return Tile(at, (centered4(value, s.pivot) - s.offset) * s.inv_std, upstream);
}

struct Pair {
    xhat: f32,
    dy: f32,
}

fn load_pair(at: u32, s: Statistics) -> Pair {
    return Pair((centered(decode(x[at]), s.pivot) - s.offset) * s.inv_std, decode(dy[at]));
}
