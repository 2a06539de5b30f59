// needs: params, numerics
// Weights, where they lie: f32, the same for all channels.
@group(0) @binding(13) var<storage, read_write> weights: array<f32>;

// The tensor's axes, slowest first, as far as weights vary along them or along faster ones. Of each: from one entry to the
// next, in the tensor and in the weights.
struct WeightAxes {
    axes: array<vec4<u32>, 6>,
}

@group(0) @binding(14) var<uniform> weight_axes: WeightAxes;

// Where the weight of an element of the tensor lies. No loop: software adapters end invocations that run through too
// many rounds.
fn weight_place(element: u32) -> u32 {
    var at = vec2(element, 0u);
    if (params.weight_axes > 0u) {
        at = along(at, weight_axes.axes[0].x, weight_axes.axes[0].y);
    }
    if (params.weight_axes > 1u) {
        at = along(at, weight_axes.axes[1].x, weight_axes.axes[1].y);
    }
    if (params.weight_axes > 2u) {
        at = along(at, weight_axes.axes[2].x, weight_axes.axes[2].y);
    }
    if (params.weight_axes > 3u) {
        at = along(at, weight_axes.axes[3].x, weight_axes.axes[3].y);
    }
    if (params.weight_axes > 4u) {
        at = along(at, weight_axes.axes[4].x, weight_axes.axes[4].y);
    }
    if (params.weight_axes > 5u) {
        at = along(at, weight_axes.axes[5].x, weight_axes.axes[5].y);
    }
    return at.y;
}

// What is left of the element within an entry of the axis, and where the entry's weights lie.
fn along(at: vec2<u32>, stride: u32, step: u32) -> vec2<u32> {
    let entry = at.x / stride;
    return vec2(at.x - entry * stride, at.y + entry * step);
}

// Neither negative, nor NaN, nor infinite; as bits, since arithmetic may assume that there is no NaN. Zero may have either
// sign.
fn is_weight(weight: f32) -> bool {
    let bits = bitcast<u32>(weight);
    return bits < hidden(0x7f800000u) || bits == 0x80000000u;
}

// Not 0; what is no weight is no padding either.
fn is_something(weight: f32) -> bool {
    return (bitcast<u32>(weight) << 1u) != 0u;
}
