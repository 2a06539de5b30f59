// needs: numerics, partial_sums, gradient_pair
// What the statistics leave unknown of the sums is NaN; those of padding alone are 0.
fn known_sums(s: Statistics, sums: Partial) -> Partial {
    let padding = Flag(has(ZERO_OUTSIDE) && sums.weight == 0.0);
    let none = PerChannel(0.0);
    let dz = or_nan(select(sums.dz, none, padding), knows_dz(s) | padding);
    let dz_x = or_nan(select(sums.dz_x, none, padding), s.finite | padding);
    return Partial(dz, dz_x, sums.weight);
}
