// needs: weighted, y, mapped_four
// What is mapped to y. Padding is not looked at.
alias Map = Statistics;
alias Loaded = Weighted;
alias Mapped = Value;

fn load_for(s: Map, at: u32) -> Loaded {
    var weight = Weight(1.0);
    if (has(ZERO_OUTSIDE)) {
        weight = weight_at(at);
    }
    return Weighted(x_at(at), weight);
}

fn mapped(s: Map, at: u32, x: Loaded) -> Mapped {
    return select(Value(0.0), y_of(at, x.value, s), is_inside(x.weight));
}
