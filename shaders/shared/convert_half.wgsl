// needs: half, widen
// For f16, rounded to the nearest here: drivers may round by truncation.
fn converted(y: Value, finite: Flag) -> Value {
    return widen(narrow(y, finite));
}
