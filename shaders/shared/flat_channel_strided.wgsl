// needs: params, axes
// The channel of a half that so many are before, where kept and reduced axes alternate.
fn flat_channel(before: u32) -> u32 {
    let at = before % params.period;
    var channel = 0u;
    var size = 1u;
    for (var k = 0u; k < 8u && axes.kept[k].x > 1u; k++) {
        let axis = axes.kept[k];
        channel += (at / axis.y % axis.x) * size;
        size *= axis.x;
    }
    return channel;
}
