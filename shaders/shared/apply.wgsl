// needs: x, y, mapped_four
// What is mapped to y.
alias Map = Statistics;
alias Loaded = Value;
alias Mapped = Value;

fn load_for(s: Map, at: u32) -> Loaded {
    return x_at(at);
}

fn mapped(s: Map, at: u32, x: Loaded) -> Mapped {
    return y_of(at, x, s);
}
