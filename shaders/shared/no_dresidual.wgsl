// As in `no_out`.
fn store_dresidual(at: u32, value: Value, finite: Flag) {
}
