//! One tensor of a file.

use safetensors::tensor::Dtype;
use wgpu_batchnorm::Element;
use wgpu_batchnorm::internals::values::{TYPES, note, to_f32, width};

use crate::failure::Failure;
use crate::stored::Stored;

/// A tensor in f32, and as the file has it where that is f16 or bf16.
#[derive(Clone, Debug)]
pub struct HostTensor {
    pub shape: Vec<usize>,
    /// What `y` is stored as: f16 and bf16 as the file has them, f32 for all else.
    pub element: Element,
    pub values: Vec<f32>,
    /// f16 and bf16 as the file has them; empty for f32, which `values` holds.
    halves: Vec<u8>,
}

impl HostTensor {
    /// From little-endian bytes in C order, as many as the shape says. Values that are no floats of up to 32 bits become
    /// the nearest f32; the text says so where that may change them.
    pub fn new(
        name: &str,
        dtype: Dtype,
        shape: Vec<usize>,
        bytes: &[u8],
    ) -> Result<(Self, Option<String>), Failure> {
        if width(dtype).is_none() {
            return Err(Failure::Input(format!(
                "tensor {name:?} has dtype {dtype:?}, expected {TYPES}"
            )));
        }
        let (element, halves) = match dtype {
            Dtype::F16 => (Element::F16, bytes.to_vec()),
            Dtype::BF16 => (Element::Bf16, bytes.to_vec()),
            _ => (Element::F32, vec![]),
        };
        let values = to_f32(dtype, bytes).map_err(|too_large| {
            Failure::Input(format!(
                "tensor {name:?} holds {:e} at index {}, which f32 does not hold",
                too_large.value, too_large.index
            ))
        })?;
        let tensor = Self {
            shape,
            element,
            values,
            halves,
        };
        Ok((tensor, note(name, dtype)))
    }

    /// Its values as they are stored.
    pub fn stored(&self) -> Stored<'_> {
        match self.element {
            Element::F32 => Stored::f32(&self.values),
            element => Stored {
                element,
                bytes: &self.halves,
                values: &self.values,
            },
        }
    }
}
