// needs: load
// Images have no residual.
fn with_residual(at: u32, z: Value) -> Value {
    return z;
}
