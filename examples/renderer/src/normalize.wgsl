// Between the frame, a texture with alpha, and the tensor [1, height, width, 3] in a buffer.

@group(0) @binding(0) var frame: texture_2d<f32>;
@group(0) @binding(1) var<storage, read_write> tensor: array<f32>;
@group(0) @binding(2) var result: texture_storage_2d<rgba16float, write>;

@compute @workgroup_size(8, 8) fn unpack(@builtin(global_invocation_id) id: vec3u) {
    let size = textureDimensions(frame);
    if any(id.xy >= size) { return; }
    let texel = textureLoad(frame, id.xy, 0);
    let at = 3u * (id.y * size.x + id.x);
    tensor[at] = texel.r;
    tensor[at + 1u] = texel.g;
    tensor[at + 2u] = texel.b;
}

@compute @workgroup_size(8, 8) fn pack(@builtin(global_invocation_id) id: vec3u) {
    let size = textureDimensions(frame);
    if any(id.xy >= size) { return; }
    let at = 3u * (id.y * size.x + id.x);
    let colour = vec3f(tensor[at], tensor[at + 1u], tensor[at + 2u]);
    let alpha = textureLoad(frame, id.xy, 0).a;
    textureStore(result, id.xy, vec4f(colour, alpha));
}
