// needs: params
// The first element of a load at this address, counted from the tensor's first. Flat maps address halves.
fn element_at(at: u32) -> u32 {
    return at * LOAD + params.weights_first;
}
