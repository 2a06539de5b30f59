// needs: numerics, weighted, partial_moments
// Moments by weights. Where all are 1, each has the bits of its twin in `partial_moments`: products with weights go
// through `weighed`, so that compilers see the same sums.

// Less `pivot`, and 0 where there is no weight.
fn about(x: Weighted, pivot: PerChannel) -> Weighted {
    let there = ValueFlag(x.weight > Weight(0.0));
    return Weighted(select(Value(0.0), centered(x.value, pivot), there), x.weight);
}

// A sum of weights that something is divided by.
fn divisor(weight: f32) -> f32 {
    return max(weight, 1.1754944e-38);
}

// An empty side leaves the other as it is.
fn join(a: Partial, b: Partial) -> Partial {
    return merge_share(a, b, b.count / divisor(a.count + b.count));
}

fn weighted_tile(a: Weighted, b: Weighted, c: Weighted, d: Weighted) -> Partial {
    let weight = sum_of((a.weight + b.weight) + (c.weight + d.weight));
    let mean = fold((weighed_value(a) + weighed_value(b)) + (weighed_value(c) + weighed_value(d))) / divisor(weight);
    let ea = Weighted(a.value - mean, a.weight);
    let eb = Weighted(b.value - mean, b.weight);
    let ec = Weighted(c.value - mean, c.weight);
    let ed = Weighted(d.value - mean, d.weight);
    let near = ea.value * weighed_value(ea) + eb.value * weighed_value(eb);
    return Partial(weight, mean, fold(near + (ec.value * weighed_value(ec) + ed.value * weighed_value(ed))));
}

fn weighted_load(v: Weighted) -> Partial {
    let weight = sum_of(v.weight);
    let mean = fold(weighed_value(v)) / divisor(weight);
    let e = Weighted(v.value - mean, v.weight);
    return Partial(weight, mean, fold(e.value * weighed_value(e)));
}
