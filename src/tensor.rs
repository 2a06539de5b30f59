//! A shape on a buffer.

use half::{bf16, f16};

use crate::element::Element;
use crate::error::Error;
use crate::error::{RunError, ShapeError};
use crate::gpu::Gpu;
use crate::shape::checked_len;

/// A tensor on a device, row-major and dense: f32, or f16 or bf16 packed two to a 32-bit word.
#[derive(Clone, Debug)]
pub struct Tensor {
    gpu: Gpu,
    shape: Vec<usize>,
    element: Element,
    buffer: wgpu::Buffer,
}

impl Tensor {
    /// Uploads `values` as f32.
    ///
    /// # Errors
    /// An empty shape, or another number of values than it has.
    pub fn upload(gpu: &Gpu, shape: &[usize], values: &[f32]) -> Result<Self, Error> {
        Self::upload_as(gpu, shape, Element::F32, values)
    }

    /// Uploads `values`, each rounded to the nearest `element`, ties to even.
    ///
    /// # Errors
    /// As [`Tensor::upload`].
    pub fn upload_as(
        gpu: &Gpu,
        shape: &[usize],
        element: Element,
        values: &[f32],
    ) -> Result<Self, Error> {
        let tensor = Self::empty_as(gpu, shape, element)?;
        tensor.write(values)?;
        Ok(tensor)
    }

    /// Uploads values as they are stored: `element`'s own bytes, little endian, one value after the
    /// other. No bit of them changes, of a NaN or a subnormal neither.
    ///
    /// # Errors
    /// As [`Tensor::upload`], where `bytes` is not as long as the shape's values of `element`.
    pub fn upload_bytes(
        gpu: &Gpu,
        shape: &[usize],
        element: Element,
        bytes: &[u8],
    ) -> Result<Self, Error> {
        let tensor = Self::empty_as(gpu, shape, element)?;
        let expected = tensor.byte_len();
        if bytes.len() != expected {
            return Err(Error::Shape(ShapeError::Bytes {
                tensor: "values",
                got: bytes.len(),
                expected,
            }));
        }
        tensor.write_bytes(bytes);
        Ok(tensor)
    }

    /// A tensor of f32 zeros.
    ///
    /// # Errors
    /// An empty shape, one larger than the device's buffers, or no memory for it.
    pub fn empty(gpu: &Gpu, shape: &[usize]) -> Result<Self, Error> {
        Self::empty_as(gpu, shape, Element::F32)
    }

    /// A tensor of zeros.
    ///
    /// # Errors
    /// As [`Tensor::empty`].
    pub fn empty_as(gpu: &Gpu, shape: &[usize], element: Element) -> Result<Self, Error> {
        let bytes = element.bytes_of(checked_len(shape)?);
        let max = gpu.device().limits().max_buffer_size;
        if bytes > max {
            return Err(Error::Plan(crate::error::PlanError::TooLarge {
                what: "a tensor",
                got: bytes,
                limit: "max_buffer_size",
                max,
            }));
        }
        let buffer = gpu.storage("wgpu-batchnorm tensor", bytes)?;
        Ok(Self {
            gpu: gpu.clone(),
            shape: shape.to_vec(),
            element,
            buffer,
        })
    }

    /// Words for kernels to work in, `bytes` of them at least.
    pub(crate) fn scratch(gpu: &Gpu, bytes: u64) -> Result<Self, Error> {
        Self::empty(gpu, &[bytes.div_ceil(4) as usize])
    }

    /// How its values are stored.
    pub fn element(&self) -> Element {
        self.element
    }

    /// The shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Elements.
    #[allow(clippy::len_without_is_empty, reason = "a tensor is never empty")]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The buffer behind it, as long as the tensor, with usages `STORAGE`, `COPY_SRC` and
    /// `COPY_DST`: an optimizer may step on it.
    pub fn buffer(&self) -> &wgpu::Buffer {
        &self.buffer
    }

    /// The device it lies on.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Overwrites all values, each rounded to the nearest of the tensor's element.
    ///
    /// # Errors
    /// Another number of values than the tensor has.
    pub fn write(&self, values: &[f32]) -> Result<(), ShapeError> {
        if values.len() != self.len() {
            return Err(ShapeError::Length {
                tensor: "values",
                got: values.len(),
                expected: self.len(),
            });
        }
        let halves: Vec<u16>;
        let bytes = match self.element {
            Element::F32 => bytemuck::cast_slice(values),
            Element::F16 => {
                halves = narrowed(values, |v| f16::from_f32(v).to_bits());
                bytemuck::cast_slice(&halves)
            }
            Element::Bf16 => {
                halves = narrowed(values, |v| bf16::from_f32(v).to_bits());
                bytemuck::cast_slice(&halves)
            }
        };
        self.write_bytes(bytes);
        Ok(())
    }

    /// Overwrites all values with as many bytes as they have.
    fn write_bytes(&self, bytes: &[u8]) {
        // Buffers are written in whole words, and the last half of an odd number has one to itself.
        let (words, rest) = bytes.split_at(bytes.len() & !3);
        let queue = self.gpu.queue();
        self.gpu.watch(|| {
            queue.write_buffer(&self.buffer, 0, words);
            if let &[low, high] = rest {
                queue.write_buffer(&self.buffer, words.len() as u64, &[low, high, 0, 0]);
            }
        });
    }

    /// Copies the values to the host, widened to f32.
    ///
    /// On native targets this waits for the device on the calling thread.
    ///
    /// # Errors
    /// A device that was lost, or that reported a fault since the last readback.
    pub async fn read(&self) -> Result<Vec<f32>, RunError> {
        if self.element == Element::F32 {
            return self.gpu.read(&self.buffer).await;
        }
        let mut halves: Vec<u16> = self.gpu.read(&self.buffer).await?;
        halves.truncate(self.len());
        let widen = |bits| match self.element {
            Element::Bf16 => bf16::from_bits(bits).to_f32(),
            _ => f16::from_bits(bits).to_f32(),
        };
        Ok(halves.into_iter().map(widen).collect())
    }

    /// Blocking twin of [`Tensor::read`].
    ///
    /// # Errors
    /// As [`Tensor::read`].
    #[cfg(feature = "blocking")]
    pub fn read_blocking(&self) -> Result<Vec<f32>, RunError> {
        pollster::block_on(self.read())
    }

    /// Copies the values to the host as they are stored: the element's own bytes, little endian, one
    /// value after the other. No bit of them changes, of a NaN or a subnormal neither.
    ///
    /// On native targets this waits for the device on the calling thread.
    ///
    /// # Errors
    /// As [`Tensor::read`].
    pub async fn read_bytes(&self) -> Result<Vec<u8>, RunError> {
        let mut bytes: Vec<u8> = self.gpu.read(&self.buffer).await?;
        bytes.truncate(self.byte_len());
        Ok(bytes)
    }

    /// Blocking twin of [`Tensor::read_bytes`].
    ///
    /// # Errors
    /// As [`Tensor::read`].
    #[cfg(feature = "blocking")]
    pub fn read_bytes_blocking(&self) -> Result<Vec<u8>, RunError> {
        pollster::block_on(self.read_bytes())
    }

    /// Bytes of its values, without what fills the last word.
    fn byte_len(&self) -> usize {
        self.len() * self.element.bytes() as usize
    }

    /// All of the tensor's bytes, as the recording layer takes them.
    pub fn slice(&self) -> wgpu::BufferSlice<'_> {
        self.buffer.slice(..)
    }
}

fn narrowed(values: &[f32], narrow: impl Fn(f32) -> u16) -> Vec<u16> {
    values.iter().map(|&v| narrow(v)).collect()
}
