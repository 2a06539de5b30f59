// What a training step has beside batch norm. Tensors are row-major.

struct Sizes {
    // The result is [rows, columns]; `inner` is what a product sums over.
    rows: u32,
    columns: u32,
    inner: u32,
    // Whether a factor is stored transposed.
    transposed: vec2u,
    rate: f32,
}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> a: array<f32>;
@group(0) @binding(2) var<storage, read_write> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;

// c = a·b
@compute @workgroup_size(64) fn matmul(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= sizes.rows * sizes.columns { return; }
    let row = id.x / sizes.columns;
    let column = id.x % sizes.columns;
    let a_step = select(vec2u(sizes.inner, 1u), vec2u(1u, sizes.rows), sizes.transposed.x == 1u);
    let b_step = select(vec2u(sizes.columns, 1u), vec2u(1u, sizes.inner), sizes.transposed.y == 1u);
    var sum = 0.0;
    for (var k = 0u; k < sizes.inner; k++) {
        sum += a[row * a_step.x + k * a_step.y] * b[k * b_step.x + column * b_step.y];
    }
    c[id.x] = sum;
}

// Logistic loss of scores a with labels b (±1); c becomes the gradient of the mean over rows, and
// behind it come the losses.
@compute @workgroup_size(64) fn logistic(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= sizes.rows { return; }
    let margin = a[id.x] * b[id.x];
    c[id.x] = -b[id.x] / (1.0 + exp(margin)) / f32(sizes.rows);
    c[sizes.rows + id.x] = max(-margin, 0.0) + log(1.0 + exp(-abs(margin)));
}

// Plain SGD: b −= rate·a
@compute @workgroup_size(64) fn sgd(@builtin(global_invocation_id) id: vec3u) {
    if id.x < sizes.rows * sizes.columns {
        b[id.x] -= sizes.rate * a[id.x];
    }
}
