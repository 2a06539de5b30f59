//! Values as files and devices store them.

use half::{bf16, f16};
use safetensors::tensor::Dtype;
use wgpu_batchnorm::Element;
use wgpu_batchnorm::internals::values::to_f32;

use crate::failure::Failure;

/// A tensor's values twice: as they are stored, and widened to f32, which changes none of them.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    pub element: Element,
    /// Little endian.
    pub bytes: &'a [u8],
    pub values: &'a [f32],
}

impl<'a> Stored<'a> {
    /// Of f32 values.
    pub fn f32(values: &'a [f32]) -> Self {
        Self {
            element: Element::F32,
            bytes: bytemuck::cast_slice(values),
            values,
        }
    }
}

/// What safetensors calls this storage.
pub fn dtype(element: Element) -> Result<Dtype, Failure> {
    Ok(match element {
        Element::F32 => Dtype::F32,
        Element::F16 => Dtype::F16,
        Element::Bf16 => Dtype::BF16,
        other => return Err(unknown(other)),
    })
}

/// The values that these bytes store, in f32, which holds each.
pub fn widened(element: Element, bytes: &[u8]) -> Result<Vec<f32>, Failure> {
    to_f32(dtype(element)?, bytes).map_err(|_| unknown(element))
}

/// How `element` stores these values, each rounded to its nearest, ties to even.
pub fn rounded(element: Element, values: &[f32]) -> Result<Vec<u8>, Failure> {
    let halves = |f: fn(f32) -> [u8; 2]| values.iter().flat_map(|&v| f(v)).collect();
    Ok(match element {
        Element::F32 => bytemuck::cast_slice(values).to_vec(),
        Element::F16 => halves(|v| f16::from_f32(v).to_le_bytes()),
        Element::Bf16 => halves(|v| bf16::from_f32(v).to_le_bytes()),
        other => return Err(unknown(other)),
    })
}

/// What a storage meets that the library has and this program does not.
fn unknown(element: Element) -> Failure {
    Failure::Input(format!(
        "element type {element:?} is not one that wgbn reads and writes: f32, f16 and bf16 are"
    ))
}
