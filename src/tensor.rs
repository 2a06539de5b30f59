//! A shape on a buffer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use half::{bf16, f16};

use crate::element::Element;
use crate::error::Error;
use crate::error::{BindError, PlanError, RunError, ShapeError};
use crate::gpu::Gpu;
use crate::shape::{batch_len, check_len};

/// A tensor on a device, row-major and dense: f32, or f16 or bf16 packed two to a 32-bit word.
///
/// A clone shares the buffer: what is written through one is read through the other.
#[derive(Clone, Debug)]
pub struct Tensor {
    gpu: Gpu,
    shape: Vec<usize>,
    element: Element,
    buffer: wgpu::Buffer,
    /// How often this library has written it; clones share the count.
    writes: Arc<AtomicU64>,
}

/// A tensor's content at one time, without keeping the tensor alive.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    writes: Arc<AtomicU64>,
    seen: u64,
}

impl Version {
    /// Whether it is of this tensor or a clone of it.
    pub(crate) fn is_of(&self, tensor: &Tensor) -> bool {
        Arc::ptr_eq(&self.writes, &tensor.writes)
    }

    /// Whether nothing of this library has written the tensor since.
    pub(crate) fn is_current(&self) -> bool {
        self.writes.load(Ordering::Relaxed) == self.seen
    }
}

impl Tensor {
    /// Uploads `values` as f32.
    ///
    /// # Errors
    /// A shape with an axis of length 0 other than the first, or another number of values than it has.
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

    /// Uploads values as they are stored: `element`'s own bytes, little endian, one value after the other. No
    /// bit of them changes, not even of a NaN or a subnormal number.
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
        tensor.write_bytes(bytes)?;
        Ok(tensor)
    }

    /// Takes the caller's buffer as a tensor, its values from the buffer's first byte on.
    ///
    /// Kernels need a buffer with `STORAGE`. A tensor that is written or read from the host needs `COPY_DST`
    /// or `COPY_SRC` besides; the call that needs one names it where it is missing.
    ///
    /// The library counts its own writes to each tensor, to refuse gradients of an input that has changed. It
    /// cannot see what the caller's kernels write, nor that two tensors were made of one buffer.
    ///
    /// # Errors
    /// A shape with an axis of length 0 other than the first; a buffer without `STORAGE`, shorter than the shape's values of `element` in whole 32-bit words,
    /// destroyed, or of another device.
    pub fn from_buffer(
        gpu: &Gpu,
        buffer: wgpu::Buffer,
        shape: &[usize],
        element: Element,
    ) -> Result<Self, Error> {
        let expected = element.bytes_of(batch_len(shape)?);
        let name = "the tensor's buffer";
        if !buffer.usage().contains(wgpu::BufferUsages::STORAGE) {
            return Err(BindError::Usage {
                buffer: name,
                expected: "STORAGE",
            }
            .into());
        }
        let got = buffer.size();
        if got < expected {
            return Err(BindError::Size {
                buffer: name,
                got,
                expected,
            }
            .into());
        }
        gpu.holds(name, &buffer)?;
        Ok(Self::of(gpu, buffer, shape, element))
    }

    fn of(gpu: &Gpu, buffer: wgpu::Buffer, shape: &[usize], element: Element) -> Self {
        Self {
            gpu: gpu.clone(),
            shape: shape.to_vec(),
            element,
            buffer,
            writes: Arc::default(),
        }
    }

    /// A tensor of f32 zeros.
    ///
    /// # Errors
    /// A shape with an axis of length 0 other than the first, one larger than the device's buffers, or no memory for it.
    pub fn empty(gpu: &Gpu, shape: &[usize]) -> Result<Self, Error> {
        Self::empty_as(gpu, shape, Element::F32)
    }

    /// A tensor of zeros.
    ///
    /// # Errors
    /// As [`Tensor::empty`].
    pub fn empty_as(gpu: &Gpu, shape: &[usize], element: Element) -> Result<Self, Error> {
        let bytes = element.bytes_of(batch_len(shape)?);
        let max = gpu.device().limits().max_buffer_size;
        if bytes > max {
            return Err(Error::Plan(PlanError::TooLarge {
                what: "a tensor",
                got: bytes,
                limit: "max_buffer_size",
                max,
            }));
        }
        // A buffer of no bytes could not be bound.
        let buffer = gpu.storage("wgpu-batchnorm tensor", bytes.max(4))?;
        Ok(Self::of(gpu, buffer, shape, element))
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
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no elements: a batch of no examples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The buffer behind it, at least as long as the tensor in whole 32-bit words. One that the library made has
    /// the usages `STORAGE`, `COPY_SRC` and `COPY_DST`: an optimizer may step on it.
    pub fn buffer(&self) -> &wgpu::Buffer {
        &self.buffer
    }

    /// The device it lies on.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Overwrites all values, each rounded to the nearest of the tensor's element, ties to even.
    ///
    /// # Errors
    /// Another number of values than the tensor has; a buffer without `COPY_DST`, or one that wgpu refuses.
    pub fn write(&self, values: &[f32]) -> Result<(), Error> {
        check_len("values", values.len(), self.len())?;
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
        self.write_bytes(bytes)
    }

    /// Overwrites all values with values as they are stored, as [`Tensor::upload_bytes`] takes them.
    ///
    /// # Errors
    /// Another number of bytes than the tensor's values have; as [`Tensor::write`].
    pub fn write_bytes(&self, bytes: &[u8]) -> Result<(), Error> {
        let expected = self.byte_len();
        if bytes.len() != expected {
            return Err(Error::Shape(ShapeError::Bytes {
                tensor: "values",
                got: bytes.len(),
                expected,
            }));
        }
        self.copies(wgpu::BufferUsages::COPY_DST, "tensor to write")?;
        // Buffers are written in whole words, and the last half of an odd number has one to itself.
        let (words, rest) = bytes.split_at(bytes.len() & !3);
        let queue = self.gpu.queue();
        self.gpu.watch("write", || {
            queue.write_buffer(&self.buffer, 0, words);
            if let &[low, high] = rest {
                queue.write_buffer(&self.buffer, words.len() as u64, &[low, high, 0, 0]);
            }
        })?;
        self.written();
        Ok(())
    }

    /// Copies the values to the host, widened to f32.
    ///
    /// On native targets this waits for the device on the calling thread.
    ///
    /// # Errors
    /// A device that was lost, or that reported an error since the last read; a buffer without `COPY_SRC`.
    pub async fn read(&self) -> Result<Vec<f32>, RunError> {
        if self.element == Element::F32 {
            return self.words().await;
        }
        let mut halves: Vec<u16> = self.words().await?;
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

    /// Copies the values to the host as they are stored: the element's own bytes, little endian, one value
    /// after the other. No bit of them changes, not even of a NaN or a subnormal number.
    ///
    /// On native targets this waits for the device on the calling thread.
    ///
    /// # Errors
    /// As [`Tensor::read`].
    pub async fn read_bytes(&self) -> Result<Vec<u8>, RunError> {
        let mut bytes: Vec<u8> = self.words().await?;
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

    /// What its words hold.
    async fn words<T: bytemuck::Pod>(&self) -> Result<Vec<T>, RunError> {
        let bytes = self.word_bytes();
        if !self.buffer.usage().contains(wgpu::BufferUsages::COPY_SRC) {
            return Err(RunError::Readback {
                bytes,
                reason: "the buffer was created without BufferUsages::COPY_SRC".to_owned(),
            });
        }
        self.gpu.read(&self.buffer, bytes).await
    }

    /// Bytes of its values, without what fills the last word.
    fn byte_len(&self) -> usize {
        self.len() * self.element.bytes() as usize
    }

    /// Bytes of its values in whole words.
    pub(crate) fn word_bytes(&self) -> u64 {
        self.element.bytes_of(self.len())
    }

    /// All of the tensor's bytes, in whole 32-bit words, as the recording layer takes them.
    pub fn slice(&self) -> wgpu::BufferSlice<'_> {
        self.buffer.slice(..self.word_bytes())
    }

    /// Refuses a buffer that cannot be copied to or from.
    pub(crate) fn copies(
        &self,
        usage: wgpu::BufferUsages,
        name: &'static str,
    ) -> Result<(), BindError> {
        if self.buffer.usage().contains(usage) {
            return Ok(());
        }
        Err(BindError::Usage {
            buffer: name,
            expected: match usage {
                wgpu::BufferUsages::COPY_SRC => "COPY_SRC",
                _ => "COPY_DST",
            },
        })
    }

    /// Whether both are one shape on one buffer.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.buffer == other.buffer && self.shape == other.shape && self.element == other.element
    }

    /// Counts a write by this library.
    pub(crate) fn written(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
    }

    /// Its content as it is now.
    pub(crate) fn version(&self) -> Version {
        Version {
            writes: self.writes.clone(),
            seen: self.writes.load(Ordering::Relaxed),
        }
    }
}

fn narrowed(values: &[f32], narrow: impl Fn(f32) -> u16) -> Vec<u16> {
    values.iter().map(|&v| narrow(v)).collect()
}
