//! Binding.

use super::{ConfigError, RunError, ShapeError};

/// Buffers and textures that do not fit a plan.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// See [`ConfigError`]: the options do not allow this operation on this shape.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// See [`ShapeError`]: weights do not spread over `x`.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// See [`RunError`]: the device was lost, or there is no memory.
    #[error(transparent)]
    Run(RunError),
    /// A buffer the plan's options need was not given.
    #[error("{buffer} is needed by this plan and was not given")]
    Missing {
        /// The buffer's role.
        buffer: &'static str,
    },
    /// A buffer was given that the plan's options rule out.
    #[error("{buffer} was given, and this plan has no use for it")]
    Unexpected {
        /// The buffer's role.
        buffer: &'static str,
    },
    /// A backward pass that would write nothing.
    #[error("backward was given none of dx, dresidual and grads, and has nothing to write")]
    NothingAsked,
    /// An offset off the device's alignment.
    #[error("{buffer} starts at byte {got}, expected a multiple of {alignment}")]
    Alignment {
        /// The buffer's role.
        buffer: &'static str,
        /// The offset given, in bytes.
        got: u64,
        /// `min_storage_buffer_offset_alignment` of the device.
        alignment: u64,
    },
    /// A buffer too short for its role.
    #[error("{buffer} has {got} bytes from its offset on, expected at least {expected}")]
    Size {
        /// The buffer's role.
        buffer: &'static str,
        /// Bytes from the offset to the end.
        got: u64,
        /// Bytes the plan reads or writes.
        expected: u64,
    },
    /// A buffer without the usage that its role needs.
    #[error("{buffer} was created without BufferUsages::{expected}")]
    Usage {
        /// The buffer's role.
        buffer: &'static str,
        /// The usage's name.
        expected: &'static str,
    },
    /// A backward pass after a tensor of its forward pass was written.
    #[error("{tensor} was written since the forward pass")]
    Stale {
        /// The tensor's name.
        tensor: &'static str,
    },
    /// What a forward pass of another layer has saved.
    #[error("saved was left by another layer's forward pass")]
    OtherLayer,
    /// A tensor that lies on another device.
    #[error("{tensor} lies on another device")]
    OtherDevice {
        /// The tensor's name.
        tensor: &'static str,
    },
    /// A plan that another context made.
    #[error("the plan was made by another context")]
    OtherContext,
    /// Two buffers of one call that share bytes.
    #[error("{buffer} overlaps {other}: each needs bytes of its own")]
    Overlap {
        /// The role of one.
        buffer: &'static str,
        /// The role of the other.
        other: &'static str,
    },
    /// A texture of a format that the operation cannot read or write.
    #[error("{texture} is seen as {got}, expected {expected}")]
    TextureFormat {
        /// The texture's role.
        texture: &'static str,
        /// The name of the format given.
        got: String,
        /// The names of those that work.
        expected: String,
    },
    /// A texture without the usage that its role needs.
    #[error("{texture} was created without TextureUsages::{expected}")]
    TextureUsage {
        /// The texture's role.
        texture: &'static str,
        /// The usage's name.
        expected: &'static str,
    },
    /// An image of another size than was planned for.
    #[error(
        "{texture} has {}x{} pixels, expected {}x{}",
        got[0], got[1], expected[0], expected[1]
    )]
    TextureSize {
        /// The texture's role.
        texture: &'static str,
        /// Its width and height, in pixels.
        got: [u32; 2],
        /// The plan's.
        expected: [u32; 2],
    },
    /// An image that reaches past the end of its texture.
    #[error(
        "{texture} has {}x{} pixels, and an image of {}x{} from ({}, {}) on does not lie within",
        got[0], got[1], size[0], size[1], origin[0], origin[1]
    )]
    TextureOrigin {
        /// The texture's role.
        texture: &'static str,
        /// Its width and height, in pixels.
        got: [u32; 2],
        /// Where the image begins.
        origin: [u32; 2],
        /// The plan's width and height.
        size: [u32; 2],
    },
    /// A texture with one dimension, or three.
    #[error("{texture} is no 2D texture")]
    TextureDimension {
        /// The texture's role.
        texture: &'static str,
    },
    /// A multisampled texture.
    #[error("{texture} has {samples} samples a pixel, expected 1")]
    Multisampled {
        /// The texture's role.
        texture: &'static str,
        /// Its samples.
        samples: u32,
    },
    /// A mip level or array layer that the texture does not have.
    #[error("{texture} is to be {what} {got}, and its texture has {len}")]
    Subresource {
        /// The texture's role.
        texture: &'static str,
        /// "mip level" or "array layer".
        what: &'static str,
        /// The index given.
        got: u32,
        /// How many there are.
        len: u32,
    },
    /// A pipeline that the device did not make: a limit below what the kernel needs, or a driver
    /// that failed. The next call tries again.
    #[error("the pipeline of {kernel} was not made: {reason}")]
    Pipeline {
        /// The kernel's label.
        kernel: String,
        /// What wgpu said.
        reason: String,
    },
    /// A buffer or texture that belongs to another device, that was destroyed, or that wgpu refused for a
    /// reason of its own.
    #[error("{name} cannot be used: {reason}")]
    Unusable {
        /// The role of the buffer or texture.
        name: &'static str,
        /// What wgpu said.
        reason: String,
    },
    /// Buffers that wgpu did not bind together.
    #[error("the buffers were not bound: {reason}")]
    Refused {
        /// What wgpu said.
        reason: String,
    },
    /// One image for two roles.
    #[error("{texture} is the same image as {other}: one dispatch cannot read and write it")]
    ReadAndWritten {
        /// The role that is written.
        texture: &'static str,
        /// The role that is read.
        other: &'static str,
    },
}
