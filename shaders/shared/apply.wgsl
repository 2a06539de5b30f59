// needs: x, y
// What is mapped to y.
alias Map = Statistics;
alias Loaded = Value;

fn load_for(s: Map, at: u32) -> Loaded {
    return x_at(at);
}

fn mapped(s: Map, at: u32, x: Loaded) -> Value {
    return y_of(at, x, s);
}

struct Four {
    a: Value,
    b: Value,
    c: Value,
    d: Value,
}

// All loads before the first use.
fn mapped_four(s: Map, at: vec4<u32>) -> Four {
    let a = load_for(s, at.x);
    let b = load_for(s, at.y);
    let c = load_for(s, at.z);
    let d = load_for(s, at.w);
    return Four(mapped(s, at.x, a), mapped(s, at.y, b), mapped(s, at.z, c), mapped(s, at.w, d));
}
