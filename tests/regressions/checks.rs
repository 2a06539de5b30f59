//! Values at the ends of f32, and the judge of them.

use testkit::gpu::gpu;
use wgpu_batchnorm::Gpu;
use wgpu_batchnorm::checked;
use wgpu_batchnorm::{Affine, BatchNorm, Config, Mode, Tensor};

fn upload(gpu: &Gpu, shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::upload(gpu, shape, values).unwrap()
}

/// Frozen backward over x of ±3·10³⁸ with dy 1: partial sums of dz·x̂ overflow. `dbias` is 4 all the same, and `dweight`
/// is what f32 makes of it.
#[test]
fn frozen_overflow() {
    let gpu = gpu();
    let config = Config::pytorch().with_affine(Affine::Both);
    let mut layer = BatchNorm::new(&gpu, 2, config).unwrap();
    // Channel 1 is ordinary.
    let x = [3e38, 1.0, -3e38, 2.0, 3e38, 3.0, -3e38, 4.0];
    let shape = [4, 2];
    let (x, dy) = (upload(&gpu, &shape, &x), upload(&gpu, &shape, &[1.0; 8]));
    let saved = layer.forward(&x, Mode::Eval).unwrap().saved;
    let (gradients, report) = checked::blocking::backward(&layer, &x, &dy, &saved).unwrap();
    report.enforce().unwrap();
    assert_eq!(gradients.dbias_blocking().unwrap(), [4.0, 4.0]);
    let dweight = gradients.dweight_blocking().unwrap();
    // 10/√(1 + 1e-5)
    assert!((dweight[1] - 9.99995).abs() < 1e-5, "{dweight:?}");
    // The pairs cancel where they meet; where the sum of two of one sign comes first, nothing is left of it.
    let first = dweight[0];
    assert!(
        first.is_nan() || first.is_infinite() || first == 0.0,
        "{first}"
    );
    let _ = &mut layer;
}
