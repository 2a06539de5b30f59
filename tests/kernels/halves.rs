//! Every f16 and every bf16 through the device, bit for bit as the `half` crate rounds.

use half::{bf16, f16};
use wgpu_batchnorm::internals::HalfKernel;
use wgpu_batchnorm::internals::shaders::{Storage, proof_source};
use wgpu_batchnorm::{
    Affine, Binding, Config, Context, Element, Gpu, InferenceBuffers, RunningStatistics, Tensor,
};

use super::buffers::run;
use testkit::gpu::{gpu, poisoned_as, running_rows};

/// All 2^16 patterns, once more the first where the length is to be odd.
fn patterns(len: usize) -> Vec<u16> {
    (0..len).map(|bits| bits as u16).collect()
}

fn widened(element: Element, bits: u16) -> f32 {
    match element {
        Element::Bf16 => bf16::from_bits(bits).to_f32(),
        _ => f16::from_bits(bits).to_f32(),
    }
}

fn rounded(element: Element, value: f32) -> f32 {
    match element {
        Element::Bf16 => bf16::from_f32(value).to_f32(),
        _ => f16::from_f32(value).to_f32(),
    }
}

#[test]
fn every_pattern_is_read_and_rounded_to_nearest_even() {
    let gpu = gpu();
    // By float instructions where the device has them right, and by integers.
    for context in [gpu.context().clone(), Context::new(gpu.device()).unwrap()] {
        every_pattern_is_right(&gpu, &context);
    }
}

fn every_pattern_is_right(gpu: &Gpu, context: &Context) {
    // y = x·weight: frozen statistics of mean 0 and variance 1, eps 0.
    let config = Config::pytorch().with_affine(Affine::Weight).with_eps(0.0);
    let unit = RunningStatistics::from_parts(vec![0.0], vec![1.0], vec![0]).unwrap();
    let running = Tensor::upload(gpu, &[3, 1], &running_rows(&unit)).unwrap();
    for element in [Element::F16, Element::Bf16] {
        // Four values a load, and one.
        for len in [1 << 16, (1 << 16) + 1] {
            let shape = [1, 1, len];
            let x: Vec<f32> = patterns(len)
                .into_iter()
                .map(|p| widened(element, p))
                .collect();
            let x_device = Tensor::upload_as(gpu, &shape, element, &x).unwrap();
            let plan = context.plan(&config.with_element(element), &shape).unwrap();
            // Ties and overflow, subnormal results, all that is in range as it is.
            for weight in [1.0, 1.000_488_3, 0.75, 1.5e-5, 3.0, 40_000.0] {
                let affine = Tensor::upload(gpu, &[2, 1], &[weight, f32::NAN]).unwrap();
                let y = poisoned_as(gpu, &shape, element);
                let inference = plan.bind_inference(
                    &InferenceBuffers::new(x_device.slice(), running.slice())
                        .with_y(y.slice())
                        .with_affine(affine.slice()),
                );
                run(gpu, &[&inference.unwrap()]);
                for (&x, got) in x.iter().zip(y.read_blocking().unwrap()) {
                    let product = x * weight;
                    let expected = rounded(element, product);
                    // Adapters may flush what is subnormal in f32.
                    let flushed = [x, product, expected]
                        .iter()
                        .any(|v| v.abs() < f32::MIN_POSITIVE);
                    let same = got == expected
                        || (got.is_nan() && expected.is_nan())
                        || (flushed && got == 0.0);
                    assert!(
                        same,
                        "{element:?} {x:e}·{weight}: {got:e}, expected {expected:e}"
                    );
                }
            }
        }
    }
}

/// Whether a binding's pipelines read and round f16 by float instructions.
fn proved(binding: &Binding) -> Vec<bool> {
    let dispatches = binding.dispatches().iter();
    dispatches
        .map(|d| d.variant.storage == Storage::F16)
        .collect()
}

#[test]
fn float_instructions_are_used_once_they_were_seen_to_be_right() {
    let gpu = gpu();
    let context = Context::new(gpu.device()).unwrap();
    let (shape, c) = ([2, 1, 8], 1);
    let running = Tensor::upload(&gpu, &[3, c], &[0.0, 1.0, 0.0]).unwrap();
    let of = |element| {
        let config = Config::pytorch().with_affine(Affine::None);
        let plan = context.plan(&config.with_element(element), &shape).unwrap();
        let [x, y] = [(); 2].map(|()| poisoned_as(&gpu, &shape, element));
        let buffers = InferenceBuffers::new(x.slice(), running.slice()).with_y(y.slice());
        proved(&plan.bind_inference(&buffers).unwrap())
    };
    assert!(!context.f16_proved());
    assert_eq!(of(Element::F16), [false]);
    context.calibrate_blocking(gpu.queue()).unwrap();
    // What `Gpu::open` saw of the device.
    assert_eq!(context.f16_proved(), gpu.context().f16_proved());
    assert_eq!(of(Element::F16), [context.f16_proved()]);
    assert_eq!(of(Element::Bf16), [false]);
    assert_eq!(of(Element::F32), [false]);
    if gpu.info().name.contains("llvmpipe") {
        assert!(context.f16_proved());
    }
}

#[test]
fn what_a_device_gets_wrong_is_noticed() {
    let gpu = gpu();
    let (device, queue) = (gpu.device(), gpu.queue());
    let source = proof_source();
    let is_right = |source| {
        let kernel = HalfKernel::of(device, source).unwrap();
        pollster::block_on(kernel.is_right(device, queue)).unwrap()
    };
    assert_eq!(is_right(source.clone()), gpu.context().f16_proved());
    let wrong = [
        // A device that runs nothing.
        (
            "if (at < params.count) {",
            "if (at == at) {} else if (at < params.count) {",
        ),
        // That flushes subnormal halves, read and written.
        (
            "return vec4(unpack2x16float(word.x), unpack2x16float(word.y));",
            "let v = vec4(unpack2x16float(word.x), unpack2x16float(word.y));
             return select(v, vec4(0.0), abs(v) < vec4(6.1e-5));",
        ),
        (
            "select(normal_f16(magnitude), subnormal_f16(magnitude), small)",
            "select(normal_f16(magnitude), ValueBits(0u), small)",
        ),
        // That swaps two halves, or reads one wrong.
        ("unpack2x16float(word.y)", "unpack2x16float(word.y).yx"),
        (
            "unpack2x16float(word.x),",
            "unpack2x16float(word.x & select(~0u, ~0x8000u, word.x == 0x80018000u)),",
        ),
        // That rounds towards zero, or ties away from it.
        ("ValueBits(0xc8000fffu)", "ValueBits(0xc8000000u)"),
        (
            "(magnitude + odd + ValueBits(0xc8000fffu))",
            "(magnitude + ValueBits(0xc8001000u))",
        ),
        (
            "bitcast<f32>(hidden(0x3f000000u))",
            "bitcast<f32>(hidden(0x3f000001u))",
        ),
        // That has no infinity, or no NaN.
        (
            "min(half, ValueBits(0x7c00u))",
            "min(half, ValueBits(0x7bffu))",
        ),
        (
            "return select(ValueBits(0x7fc0u),",
            "return select(to_f16(bits),",
        ),
    ];
    for (right, wrong) in wrong {
        assert_eq!(source.matches(right).count(), 1, "{right}");
        assert!(!is_right(source.replace(right, wrong)), "{wrong}");
    }
}
