// A missing weight is 1, a missing bias 0.
fn weight_of(channel: u32) -> PerChannel {
    if (has(HAS_WEIGHT)) {
        return affine[channel];
    }
    return PerChannel(1.0);
}

fn bias_of(channel: u32) -> PerChannel {
    if (has(HAS_BIAS)) {
        return affine[params.all_channels + channel];
    }
    return PerChannel(0.0);
}
