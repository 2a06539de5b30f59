// needs: walk
// The next four addresses: loads of one lane come in fours.
fn next4(walker: ptr<function, Walker>) -> vec4<u32> {
    let a = next(walker);
    let b = next(walker);
    let c = next(walker);
    let d = next(walker);
    return vec4(a, b, c, d);
}

// The first `count` of four addresses, and the first of all in place of the others: what is read there is of no use.
fn first_of4(at: vec4<u32>, count: u32) -> vec4<u32> {
    return select(at.xxxx, at, vec4(0u, 1u, 2u, 3u) < vec4(count));
}
