// needs: numerics, x, partial_moments
// With eight loads more, tiles `2·two − 1` and `2·two`: all are on their way, as words, before the first is widened.
fn add_two_tiles(
    part: Partial,
    pivot: PerChannel,
    near: vec4<u32>,
    far: vec4<u32>,
    two: u32,
) -> Partial {
    let a = x_word(near.x);
    let b = x_word(near.y);
    let c = x_word(near.z);
    let d = x_word(near.w);
    let e = x_word(far.x);
    let f = x_word(far.y);
    let g = x_word(far.z);
    let h = x_word(far.w);
    let second = 2.0 * f32(two);
    let first = tile_of(a, b, c, d, pivot);
    let merged = merge_share(part, first, 1.0 / (second - 1.0));
    return merge_share(merged, tile_of(e, f, g, h, pivot), 1.0 / second);
}

fn tile_of(a: Word, b: Word, c: Word, d: Word, pivot: PerChannel) -> Partial {
    return tile_moments(
        centered(decode(a, 0u), pivot),
        centered(decode(b, 0u), pivot),
        centered(decode(c, 0u), pivot),
        centered(decode(d, 0u), pivot),
    );
}
