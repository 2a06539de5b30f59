// needs: walk
// The next four addresses: loads of one lane come in fours.
fn next4(walker: ptr<function, Walker>) -> vec4<u32> {
    let a = next(walker);
    let b = next(walker);
    let c = next(walker);
    let d = next(walker);
    return vec4(a, b, c, d);
}
