// needs: partial_sums, grads
// The sums of backward, as they are given, of a batch whose weights are.
fn given_sums(channel: u32) -> Partial {
    return Partial(grads[params.all_channels + channel], grads[channel], params.total);
}
