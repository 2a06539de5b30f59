// needs: entry, map, frozen, saved_channel, apply, affine, frozen_rows, saved_rows
// A texture into a tensor, or a tensor into a texture, normalized by running statistics or by what training saved.
//
// Each lane reads the statistics of the four channels, then its share of x, once, and writes y to the same
// positions. The lanes of a workgroup read neighbouring texels at a time.
// Barriers: none, and no workgroup memory.
// Registers a lane on Ampere (NVK, texel, no activation): 57 into a tensor, 57 into rgba8unorm, 79 into
// rgba16float.

fn map_of(lane: Lane) -> Map {
    if (has(FROM_RUNNING)) {
        return frozen_statistics(lane.channel);
    }
    return saved_channel(lane.channel);
}
