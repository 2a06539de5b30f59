// needs: params, numerics
// A channel's statistics, ready to normalize with: x̂ = ((x − pivot) − offset)·inv_std, and
// z = ((x − pivot) − offset)·scale + bias.
struct Statistics {
    pivot: PerChannel,
    offset: PerChannel,
    inv_std: PerChannel,
    // NaN where the statistics are not finite, so that what is multiplied by it is NaN too.
    scale: PerChannel,
    bias: PerChannel,
    finite: Flag,
}

// A missing weight is 1, a missing bias 0.
fn statistics_of(
    channel: u32,
    pivot: PerChannel,
    offset: PerChannel,
    inv_std: PerChannel,
    finite: Flag,
) -> Statistics {
    var weight = PerChannel(1.0);
    if (has(HAS_WEIGHT)) {
        weight = affine[channel];
    }
    var bias = PerChannel(0.0);
    if (has(HAS_BIAS)) {
        bias = affine[params.all_channels + channel];
    }
    return Statistics(pivot, offset, inv_std, or_nan(inv_std * weight, finite), bias, finite);
}
