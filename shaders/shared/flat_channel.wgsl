// needs: params
// The channel of a half that so many are before.
fn flat_channel(before: u32) -> u32 {
    return params.first_channel + (before % params.period) / params.inner;
}
