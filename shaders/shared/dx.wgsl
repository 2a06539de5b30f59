// needs: numerics, partial_sums, gradient_pair
// dx = weight·inv_std·(dz − dbias/m − x̂·dweight/m).
struct DxMap {
    statistics: Statistics,
    mean_dz: PerChannel,
    mean_dz_x: PerChannel,
}

fn dx_map(s: Statistics, sums: Partial) -> DxMap {
    let finite = s.finite & is_finite(sums.dz) & is_finite(sums.dz_x);
    var statistics = s;
    statistics.scale = or_nan(s.scale, finite);
    return DxMap(statistics, sums.dz / params.total, sums.dz_x / params.total);
}

fn dx_of(pair: Pair, map: DxMap) -> Value {
    return ((pair.dz - map.mean_dz) - pair.xhat * map.mean_dz_x) * map.statistics.scale;
}
