// needs: numerics, partial_sums, gradient_pair
// dx = weight·inv_std·(dz − w·(dbias + x̂·dweight)/W), and 0 where there is padding.
struct DxMap {
    statistics: Statistics,
    mean_dz: PerChannel,
    mean_dz_x: PerChannel,
}

fn dx_map(s: Statistics, sums: Partial) -> DxMap {
    let finite = s.finite & is_finite(sums.dz) & is_finite(sums.dz_x);
    var statistics = s;
    statistics.scale = or_nan(s.scale, finite);
    return DxMap(statistics, sums.dz / sums.weight, sums.dz_x / sums.weight);
}

fn dx_of(pair: Pair, map: DxMap) -> Value {
    let less_mean = pair.dz - weighed(pair.weight, Value(map.mean_dz));
    let less_both = less_mean - weighed(pair.weight, pair.xhat) * map.mean_dz_x;
    return select(Value(0.0), less_both * map.statistics.scale, is_inside(pair.weight));
}
