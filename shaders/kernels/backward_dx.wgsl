// needs: entry, map, saved_channel, merge_sums, write_dx, write_gradients
// Backward through batch statistics, second dispatch: merges the sums and writes dweight and dbias, or
// takes sums that were merged already; writes dx.
@group(0) @binding(4) var<storage, read_write> affine: array<PerChannel>;
@group(0) @binding(6) var<storage, read_write> saved: array<PerChannel>;
@group(0) @binding(7) var<storage, read_write> partials: array<Partial>;
// dweight, dbias: `[2][C]`.
@group(0) @binding(8) var<storage, read_write> grads: array<PerChannel>;

fn map_of(lane: Lane) -> Map {
    let s = saved_channel(lane.channel);
    if (has(FROM_SUMS)) {
        return dx_map(s, Partial(grads[params.all_channels + lane.channel], grads[lane.channel]));
    }
    let sums = merged_sums(lane);
    let map = dx_map(s, sums);
    write_gradients(lane, sums, map.finite, map.finite);
    return map;
}
