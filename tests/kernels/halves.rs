//! Every f16 and every bf16 through the device, bit for bit as the `half` crate rounds.

use half::{bf16, f16};
use wgpu_batchnorm::{Affine, Config, Element, InferenceBuffers, Tensor};

use super::buffers::run;
use testkit::gpu::{gpu, poisoned_as, running_rows};
use wgpu_batchnorm::RunningStatistics;

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
    // y = x·weight: frozen statistics of mean 0 and variance 1, eps 0.
    let config = Config::pytorch().with_affine(Affine::Weight).with_eps(0.0);
    let unit = RunningStatistics::from_parts(vec![0.0], vec![1.0], vec![0]).unwrap();
    let running = Tensor::upload(&gpu, &[3, 1], &running_rows(&unit)).unwrap();
    for element in [Element::F16, Element::Bf16] {
        // Four values a load, and one.
        for len in [1 << 16, (1 << 16) + 1] {
            let shape = [1, 1, len];
            let x: Vec<f32> = patterns(len)
                .into_iter()
                .map(|p| widened(element, p))
                .collect();
            let x_device = Tensor::upload_as(&gpu, &shape, element, &x).unwrap();
            let plan = gpu
                .context()
                .plan(&config.with_element(element), &shape)
                .unwrap();
            // Ties and overflow, subnormal results, all that is in range as it is.
            for weight in [1.0, 1.000_488_3, 0.75, 1.5e-5, 3.0, 40_000.0] {
                let affine = Tensor::upload(&gpu, &[2, 1], &[weight, f32::NAN]).unwrap();
                let y = poisoned_as(&gpu, &shape, element);
                let inference = plan.bind_inference(
                    &InferenceBuffers::new(x_device.slice(), running.slice())
                        .with_y(y.slice())
                        .with_affine(affine.slice()),
                );
                run(&gpu, &[&inference.unwrap()]);
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
