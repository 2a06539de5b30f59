// Ruins on the sea floor, lit by a sun above the water, seen through the water.

struct Globals {
    view_projection: mat4x4f,
    sun_projection: mat4x4f,
    eye: vec3f,
    time: f32,
    // Towards the sun.
    sun: vec3f,
}

@group(0) @binding(0) var<uniform> globals: Globals;
@group(1) @binding(0) var shadows: texture_depth_2d;
@group(1) @binding(1) var shadow_sampler: sampler_comparison;

struct Vertex {
    @location(0) position: vec3f,
    @location(1) normal: vec3f,
    // Of the instance: the columns of its matrix, its colour, and what it is made of.
    @location(2) x: vec4f,
    @location(3) y: vec4f,
    @location(4) z: vec4f,
    @location(5) origin: vec4f,
    @location(6) colour: vec4f,
}

struct Fragment {
    @builtin(position) clip: vec4f,
    @location(0) position: vec3f,
    @location(1) normal: vec3f,
    @location(2) @interpolate(flat) colour: vec4f,
}

// What colour.w says beside a gloss from 0 to 1.
const SAND = 2.0;
const WATER = 3.0;

fn place(v: Vertex) -> vec3f {
    return (mat4x4f(v.x, v.y, v.z, v.origin) * vec4f(v.position, 1.0)).xyz;
}

@vertex fn vertex(v: Vertex) -> Fragment {
    var out: Fragment;
    out.position = place(v);
    out.clip = globals.view_projection * vec4f(out.position, 1.0);
    // The matrix turns and scales along its own axes, so this is its inverse transposed.
    let n = v.normal / vec3f(dot(v.x, v.x), dot(v.y, v.y), dot(v.z, v.z));
    out.normal = n.x * v.x.xyz + n.y * v.y.xyz + n.z * v.z.xyz;
    out.colour = v.colour;
    return out;
}

@vertex fn shadow_vertex(v: Vertex) -> @builtin(position) vec4f {
    return globals.sun_projection * vec4f(place(v), 1.0);
}

// 1 in the sun, 0 in the shadow, softened over a few texels.
fn sunlight(position: vec3f, normal: vec3f) -> f32 {
    let clip = globals.sun_projection * vec4f(position + 0.03 * normal, 1.0);
    let at = clip.xy * vec2f(0.5, -0.5) + 0.5;
    let texel = 1.0 / vec2f(textureDimensions(shadows));
    var lit = 0.0;
    for (var dy = -2; dy <= 2; dy++) {
        for (var dx = -2; dx <= 2; dx++) {
            let offset = vec2f(f32(dx), f32(dy)) * 1.2 * texel;
            lit += textureSampleCompareLevel(shadows, shadow_sampler, at + offset, clip.z - 0.001);
        }
    }
    let outside = any(abs(clip.xy) > vec2f(1.0));
    return select(lit / 25.0, 1.0, outside);
}

fn ridge(p: vec2f, t: f32) -> f32 {
    let bent = p + 1.1 * sin(p.yx * vec2f(0.8, 1.1) + vec2f(t, -0.7 * t));
    return 1.0 - abs(sin(bent.x) + sin(bent.y)) * 0.5;
}

// Light that waves gather into lines, where the ray to the sun meets the surface.
fn caustics(position: vec3f) -> f32 {
    let p = position.xz - globals.sun.xz / globals.sun.y * position.y;
    let turned = vec2f(0.8 * p.x - 0.6 * p.y, 0.6 * p.x + 0.8 * p.y);
    let lines = ridge(2.1 * p, globals.time) * ridge(2.7 * turned + 4.0, 1.3 * globals.time);
    return 0.6 + 1.3 * pow(lines, 4.0);
}

fn hash(p: vec2f) -> f32 {
    return fract(sin(dot(p, vec2f(127.1, 311.7))) * 43758.547);
}

fn noise(p: vec2f) -> f32 {
    let cell = floor(p);
    let f = fract(p);
    let s = f * f * (3.0 - 2.0 * f);
    let low = mix(hash(cell), hash(cell + vec2f(1.0, 0.0)), s.x);
    let high = mix(hash(cell + vec2f(0.0, 1.0)), hash(cell + 1.0), s.x);
    return mix(low, high, s.y);
}

fn clouds(p: vec2f) -> f32 {
    return 0.5 * noise(p) + 0.3 * noise(2.1 * p + 7.0) + 0.2 * noise(4.3 * p + 3.0);
}

// Water takes red first, and shines in its own colour, more so towards the surface.
const ABSORPTION = vec3f(0.15, 0.052, 0.046);

fn water(direction: vec3f) -> vec3f {
    let up = clamp(direction.y * 1.4 + 0.35, 0.0, 1.0);
    return mix(vec3f(0.006, 0.040, 0.060), vec3f(0.016, 0.100, 0.118), up);
}

// Display values: what is drawn is shown as it is.
fn encode(linear: vec3f) -> vec3f {
    return pow(linear, vec3f(1.0 / 2.2));
}

@fragment fn fragment(in: Fragment) -> @location(0) vec4f {
    let to_eye = globals.eye - in.position;
    let distance = length(to_eye);
    let view = to_eye / distance;
    if in.colour.w == WATER {
        return vec4f(encode(water(-view)), 0.0);
    }
    var normal = normalize(in.normal);
    var albedo = in.colour.rgb;
    var gloss = in.colour.w;
    let p = in.position;
    if in.colour.w == SAND {
        gloss = 0.0;
        // Ripples lie across the current, and fade where they are smaller than a pixel.
        let phase = 5.0 * p.x + 1.6 * p.z + 5.0 * clouds(0.35 * p.xz);
        let fade = exp(-0.07 * distance);
        normal = normalize(normal + 0.22 * fade * cos(phase) * vec3f(1.0, 0.0, 0.3));
        albedo *= 0.75 + 0.5 * clouds(0.8 * p.xz);
        albedo *= mix(1.0, 0.91 + 0.18 * hash(floor(60.0 * p.xz)), exp(-0.3 * distance));
    } else if gloss < 0.2 {
        // Stone is stained.
        albedo *= 0.6 + 0.7 * clouds(vec2f(2.0 * (p.x + p.z), 1.5 * p.y + p.x));
    }
    let facing = dot(normal, globals.sun);
    let sun = max(facing, 0.0) * sunlight(p, normal) * caustics(p);
    // From the water around, and a little from the sand.
    let ambient = mix(vec3f(0.10, 0.10, 0.085), vec3f(0.19, 0.23, 0.25), 0.5 + 0.5 * normal.y);
    var light = albedo * (ambient + sun * vec3f(1.05, 1.0, 0.88));
    let half = normalize(globals.sun + view);
    light += gloss * pow(max(dot(normal, half), 0.0), 60.0) * sun * 0.5;
    light += gloss * 0.25 * pow(1.0 - max(dot(normal, view), 0.0), 4.0);

    // Alpha is what the water lets through, for whoever composites later.
    let through = exp(-ABSORPTION * (distance + 2.0));
    let colour = 0.42 * light * through + water(-view) * (1.0 - through);
    return vec4f(encode(colour), through.g);
}
