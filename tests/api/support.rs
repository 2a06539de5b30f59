//! What these tests share.

use wgpu_batchnorm::{Gpu, Tensor};

use testkit::data::Random;

/// Asserts that a call was refused with this error.
macro_rules! assert_refused {
    ($result:expr, $pattern:pat $(if $guard:expr)?) => {
        match $result {
            Err($pattern) $(if $guard)? => {}
            other => panic!("expected {}, got {other:?}", stringify!($pattern $(if $guard)?)),
        }
    };
}

pub fn upload(gpu: &Gpu, shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::upload(gpu, shape, values).unwrap()
}

pub fn read(tensor: &Tensor) -> Vec<f32> {
    tensor.read_blocking().unwrap()
}

pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Ordinary values: mean 0.3, standard deviation 1.5.
pub fn ordinary(shape: &[usize], seed: u64) -> Vec<f32> {
    normals(shape, 0.3, 1.5, seed)
}

pub fn normals(shape: &[usize], mean: f64, std: f64, seed: u64) -> Vec<f32> {
    Random::new(seed).normals(shape.iter().product(), mean, std)
}

/// The worst error of `got` over a scale of its own for each value.
pub fn worst<T: Copy + Into<f64>>(
    got: &[T],
    expected: &[f64],
    scale: impl Fn(usize) -> f64,
) -> f64 {
    assert_eq!(got.len(), expected.len());
    let errors = got.iter().zip(expected).enumerate();
    let errors = errors.map(|(i, (&g, e))| (g.into() - e).abs() / scale(i).max(1.2e-38));
    // A NaN is no small error.
    errors.fold(0.0, |max, e| match e.is_nan() {
        true => f64::INFINITY,
        false => f64::max(max, e),
    })
}

pub fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| v.into()).collect()
}
