// Axes of a tensor where kept and reduced ones alternate. An axis is (length, stride) in elements, fastest first;
// unused entries have length 1.
struct Axes {
    kept: array<vec4<u32>, 8>,
    reduced: array<vec4<u32>, 8>,
}

@group(0) @binding(9) var<uniform> axes: Axes;
