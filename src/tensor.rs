//! A shape on a buffer.

use crate::api_error::Error;
use crate::error::{RunError, ShapeError};
use crate::gpu::Gpu;
use crate::shape::checked_len;

/// An f32 tensor on a device, row-major and dense.
#[derive(Clone, Debug)]
pub struct Tensor {
    gpu: Gpu,
    shape: Vec<usize>,
    buffer: wgpu::Buffer,
}

impl Tensor {
    /// Uploads `values`.
    ///
    /// # Errors
    /// An empty shape, or another number of values than it has.
    pub fn upload(gpu: &Gpu, shape: &[usize], values: &[f32]) -> Result<Self, Error> {
        let tensor = Self::empty(gpu, shape)?;
        tensor.write(values)?;
        Ok(tensor)
    }

    /// A tensor of zeros.
    ///
    /// # Errors
    /// An empty shape, or one larger than the device's buffers.
    pub fn empty(gpu: &Gpu, shape: &[usize]) -> Result<Self, Error> {
        let bytes = checked_len(shape)? as u64 * 4;
        let max = gpu.device().limits().max_buffer_size;
        if bytes > max {
            return Err(Error::Plan(crate::error::PlanError::TooLarge {
                what: "a tensor",
                got: bytes,
                limit: "max_buffer_size",
                max,
            }));
        }
        let buffer = gpu.storage("wgpu-batchnorm tensor", bytes);
        Ok(Self {
            gpu: gpu.clone(),
            shape: shape.to_vec(),
            buffer,
        })
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

    /// Overwrites all values.
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
        let bytes = bytemuck::cast_slice(values);
        self.gpu.queue().write_buffer(&self.buffer, 0, bytes);
        Ok(())
    }

    /// Copies the values to the host.
    ///
    /// On native targets this waits for the device on the calling thread.
    ///
    /// # Errors
    /// A device that was lost, or that reported a fault since the last readback.
    pub async fn read(&self) -> Result<Vec<f32>, RunError> {
        self.gpu.read(&self.buffer).await
    }

    /// Blocking twin of [`Tensor::read`].
    ///
    /// # Errors
    /// As [`Tensor::read`].
    #[cfg(feature = "blocking")]
    pub fn read_blocking(&self) -> Result<Vec<f32>, RunError> {
        pollster::block_on(self.read())
    }

    pub(crate) fn slice(&self) -> wgpu::BufferSlice<'_> {
        self.buffer.slice(..)
    }
}
