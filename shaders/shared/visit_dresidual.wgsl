// needs: gradient_pair, dresidual
// What a first look at a pair writes where dx waits for the sums.
fn visit(at: u32, pair: Pair, s: Statistics) {
    store_dresidual(at, dresidual_of(pair, s), knows_dresidual(s));
}
