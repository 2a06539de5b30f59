// needs: numerics, partial_sums, gradient_pair
// What the statistics leave unknown of the sums is NaN.
fn known_sums(s: Statistics, sums: Partial) -> Partial {
    return Partial(or_nan(sums.dz, knows_dz(s)), or_nan(sums.dz_x, s.finite));
}
