// needs: dx, mapped_four
// What dz and x̂ are mapped to dx with.
alias Map = DxMap;
alias Loaded = Pair;
alias Mapped = Value;

fn load_for(map: Map, at: u32) -> Loaded {
    return load_pair(at, map.statistics);
}

fn mapped(map: Map, at: u32, pair: Loaded) -> Mapped {
    return dx_of(pair, map);
}
