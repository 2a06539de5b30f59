// needs: lane_moments
// With eight loads more.
fn add_two_tiles(
    part: Partial,
    pivot: PerChannel,
    near: vec4<u32>,
    far: vec4<u32>,
    two: u32,
) -> Partial {
    return add_tile(add_tile(part, pivot, near, two), pivot, far, two);
}
