// Lanes that read single halves write none: a flat map does.
fn store(at: u32, value: Value, finite: Flag) {
}
