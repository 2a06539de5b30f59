//! Values as files and devices store them.

use half::{bf16, f16};
use wgpu_batchnorm::Element;

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

/// The values that these bytes store, in f32.
pub fn widened(element: Element, bytes: &[u8]) -> Result<Vec<f32>, Failure> {
    let halves = || bytes.chunks_exact(2).map(|b| [b[0], b[1]]);
    Ok(match element {
        // Tensors of a file lie at any byte.
        Element::F32 => bytemuck::pod_collect_to_vec(bytes),
        Element::F16 => halves().map(|b| f16::from_le_bytes(b).to_f32()).collect(),
        Element::Bf16 => halves().map(|b| bf16::from_le_bytes(b).to_f32()).collect(),
        other => return Err(unknown(other)),
    })
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
pub fn unknown(element: Element) -> Failure {
    Failure::Input(format!(
        "element type {element:?} is not one that wgbn reads and writes: f32, f16 and bf16 are"
    ))
}
