// Puts a picture of display values on the screen.

@group(0) @binding(0) var picture: texture_2d<f32>;
@group(0) @binding(1) var picture_sampler: sampler;

// 1 where the screen encodes what it is given.
override SRGB: f32;

struct Corner {
    @builtin(position) clip: vec4f,
    @location(0) at: vec2f,
}

@vertex fn corner(@builtin(vertex_index) index: u32) -> Corner {
    let at = vec2f(f32((index << 1u) & 2u), f32(index & 2u));
    return Corner(vec4f(at * vec2f(2.0, -2.0) + vec2f(-1.0, 1.0), 0.0, 1.0), at);
}

@fragment fn show(in: Corner) -> @location(0) vec4f {
    let display = clamp(textureSample(picture, picture_sampler, in.at).rgb, vec3f(0.0), vec3f(1.0));
    return vec4f(mix(display, pow(display, vec3f(2.2)), SRGB), 1.0);
}
