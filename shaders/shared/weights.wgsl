// needs: params, numerics
// Weights, where they lie: f32, the same for all channels.
@group(0) @binding(13) var<storage, read_write> weights: array<f32>;

// The tensor's axes, slowest first, as far as weights vary along them or along faster ones. Of each: from one entry to the
// next, in the tensor and in the weights.
struct WeightAxes {
    axes: array<vec4<u32>, 16>,
}

@group(0) @binding(14) var<uniform> weight_axes: WeightAxes;

// Where the weight of an element of the tensor lies.
fn weight_place(element: u32) -> u32 {
    var rest = element;
    var place = 0u;
    for (var k = 0u; k < params.weight_axes; k++) {
        let axis = weight_axes.axes[k];
        let entry = rest / axis.x;
        rest -= entry * axis.x;
        place += entry * axis.y;
    }
    return place;
}

// Neither negative, nor NaN, nor infinite; as bits, since arithmetic may assume that there is no NaN. Zero may have either
// sign.
fn is_weight(weight: f32) -> bool {
    let bits = bitcast<u32>(weight);
    return bits < hidden(0x7f800000u) || bits == 0x80000000u;
}
