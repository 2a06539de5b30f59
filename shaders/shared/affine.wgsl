// A missing weight is 1, a missing bias 0.
fn weight_of(channel: u32) -> f32 {
    if (has(HAS_WEIGHT)) {
        return affine[channel];
    }
    return 1.0;
}

fn bias_of(channel: u32) -> f32 {
    if (has(HAS_BIAS)) {
        return affine[params.all_channels + channel];
    }
    return 0.0;
}
