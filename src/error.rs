//! One error a phase: shape, options, device, plan, bind, run, state. A failed check is
//! [`crate::check::CheckError`].

use crate::shape::View;

/// A shape or an axis that is no batch normalization's.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// Rank 0 or 1 where a batch axis and a channel axis are needed.
    #[error("shape {shape:?} has rank {}, expected at least 2", shape.len())]
    Rank {
        /// The shape given.
        shape: Vec<usize>,
    },
    /// An axis outside `-rank..rank`.
    #[error("axis {axis} is out of range for shape {shape:?} of rank {}", shape.len())]
    Axis {
        /// The axis given.
        axis: isize,
        /// The shape given.
        shape: Vec<usize>,
    },
    /// The same axis named twice.
    #[error("axis {axis} is named twice")]
    RepeatedAxis {
        /// The axis, counted from the front.
        axis: usize,
    },
    /// An axis of length zero.
    #[error("shape {shape:?} is empty: an axis has length 0")]
    Empty {
        /// The shape given.
        shape: Vec<usize>,
    },
    /// More elements than this machine can address.
    #[error("shape {shape:?} has more elements than can be addressed")]
    Overflow {
        /// The shape given.
        shape: Vec<usize>,
    },
    /// A tensor stored as another element type than the others of its call.
    #[error("{tensor} holds {got:?}, expected {expected:?}")]
    Element {
        /// The tensor's name.
        tensor: &'static str,
        /// What it holds.
        got: crate::config::Element,
        /// What it should.
        expected: crate::config::Element,
    },
    /// Two shapes that should agree.
    #[error("{tensor} has shape {got:?}, expected {expected:?}")]
    Mismatch {
        /// The tensor's name.
        tensor: &'static str,
        /// Its shape.
        got: Vec<usize>,
        /// What was expected.
        expected: Vec<usize>,
    },
    /// A statistics tensor that does not spread over `x`.
    #[error("{tensor} of shape {got:?} does not broadcast over x of shape {x:?}")]
    Broadcast {
        /// The tensor's name.
        tensor: &'static str,
        /// Its shape.
        got: Vec<usize>,
        /// The shape of `x`.
        x: Vec<usize>,
    },
    /// A slice whose length does not fit its shape.
    #[error("{tensor} has {got} values, expected {expected}")]
    Length {
        /// The tensor's name.
        tensor: &'static str,
        /// Values given.
        got: usize,
        /// Values expected.
        expected: usize,
    },
    /// Bytes whose number does not fit their shape and element.
    #[error("{tensor} has {got} bytes, expected {expected}")]
    Bytes {
        /// The tensor's name.
        tensor: &'static str,
        /// Bytes given.
        got: usize,
        /// Bytes expected.
        expected: usize,
    },
    /// Axes that alternate between kept and reduced more often than the strided kernel takes.
    #[error(
        "shape {shape:?} alternates between kept and reduced axes {got} times, at most {limit} work"
    )]
    Alternations {
        /// The shape given.
        shape: Vec<usize>,
        /// Groups of axes after collapsing.
        got: usize,
        /// Groups the kernel takes.
        limit: usize,
    },
}

/// An option out of its range, or one that does not fit the operation.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// `eps` negative or not finite.
    #[error("eps is {got}, expected a finite number of at least 0")]
    Eps {
        /// The value given.
        got: f32,
    },
    /// `eps` too small for training.
    #[error("eps is {got}, training needs at least 1.1754944e-38 (the smallest normal f32)")]
    TrainingEps {
        /// The value given.
        got: f32,
    },
    /// A slope of leaky relu that is not finite.
    #[error("the negative slope of leaky relu is {got}, expected a finite number")]
    NegativeSlope {
        /// The value given.
        got: f32,
    },
    /// Fewer values per channel in a batch than in one of its parts.
    #[error("a batch of {got} values per channel, expected at least the {least} of this part")]
    Count {
        /// The count given.
        got: u64,
        /// The part's own.
        least: u64,
    },
    /// A count of values per channel that is no count.
    #[error("a count of {got} values per channel, expected a whole number from 0 to 2^53")]
    CountOfValues {
        /// The count given.
        got: f64,
    },
    /// Backward after a forward pass in place.
    #[error("backward needs x, and the forward pass put y over it")]
    InPlace,
    /// A layer of zero channels.
    #[error("a layer has 0 channels, expected at least 1")]
    NoChannels,
    /// Momentum outside [0, 1] or not finite.
    #[error("momentum is {got}, expected a number from 0 to 1")]
    Momentum {
        /// The value given.
        got: f32,
    },
    /// One value per channel has no unbiased variance, and normalizes to nothing but the bias.
    #[error(
        "training on (outer, channels, inner) = ({}, {}, {}) has one value per channel, \
         expected more than one (a biased running variance allows one)",
        view.outer, view.channels, view.inner
    )]
    OneValuePerChannel {
        /// The view of the shape given.
        view: View,
    },
    /// Inference without running statistics.
    #[error("inference needs running_mean and running_var, and this configuration keeps none")]
    NoRunningStatistics,
    /// A variance below zero.
    #[error("the variance of channel {channel} is {got}, expected at least 0")]
    NegativeVariance {
        /// The channel.
        channel: usize,
        /// The value given.
        got: f32,
    },
    /// Momentum changed where no running statistics are kept.
    #[error("momentum has no meaning where no running statistics are kept")]
    NoMomentum,
}

/// No adapter, or one that cannot run these kernels.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// There is no adapter at all.
    #[error("no GPU adapter was found")]
    NoAdapter,
    /// No adapter's name contains the one asked for.
    #[error("no adapter is named like {name:?}; found: {}", if found.is_empty() { "none".to_owned() } else { found.join(", ") })]
    NoAdapterNamed {
        /// The part of a name asked for.
        name: String,
        /// Names of the adapters there are.
        found: Vec<String>,
    },
    /// The adapter refused to make a device.
    #[error("adapter {adapter:?} gave no device: {reason}")]
    Request {
        /// The adapter's name.
        adapter: String,
        /// What wgpu said.
        reason: String,
    },
    /// Sizes that do not go together.
    #[error(
        "a planar workgroup of {workgroup} is not made of teams of {team}, or an interleaved size is 0"
    )]
    Tuning {
        /// Invocations of a workgroup.
        workgroup: u32,
        /// Lanes of a team.
        team: u32,
    },
    /// The device is below what the kernels need.
    #[error("the device's {limit} is {got}, expected at least {expected}")]
    Limit {
        /// The limit's name in wgpu.
        limit: &'static str,
        /// The device's value.
        got: u64,
        /// What is needed.
        expected: u64,
    },
}

/// A shape or options that cannot be planned.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// See [`ShapeError`].
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// See [`ConfigError`].
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An image without pixels, or one that no texture holds.
    #[error("an image of {width}x{height} pixels, expected sides of 1 to {max}")]
    ImageSize {
        /// The width asked for, in pixels.
        width: u32,
        /// The height asked for, in pixels.
        height: u32,
        /// `max_texture_dimension_2d` of the device, 32,768 at most.
        max: u32,
    },
    /// A format that no render pass can write normalized colours to.
    #[error(
        "a target of {got} takes no normalized colours, expected a renderable format of floats"
    )]
    TargetFormat {
        /// The format's name.
        got: String,
    },
    /// A render pipeline that the device did not make.
    #[error("the render pipeline was not made: {reason}")]
    Pipeline {
        /// What wgpu said.
        reason: String,
    },
    /// A tensor, scratch or statistics that one binding cannot hold, or that 32 bits cannot count the bytes of.
    #[error("{what} of {got} bytes exceeds {limit}, which is {max} bytes here")]
    TooLarge {
        /// What would be so large.
        what: &'static str,
        /// The size asked for.
        got: u64,
        /// The limit's name.
        limit: &'static str,
        /// Its value.
        max: u64,
    },
}

/// Buffers and textures that do not fit a plan.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// See [`ConfigError`]: the options do not allow this operation on this shape.
    #[error(transparent)]
    Config(#[from] ConfigError),
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
    /// A buffer without `BufferUsages::STORAGE`.
    #[error("{buffer} was created without BufferUsages::STORAGE")]
    Usage {
        /// The buffer's role.
        buffer: &'static str,
    },
    /// A tensor that lies on another device.
    #[error("{tensor} lies on another device")]
    OtherDevice {
        /// The tensor's name.
        tensor: &'static str,
    },
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
    /// Buffers that wgpu did not bind, such as one of another device.
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

/// The machine failed while work was under way.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A result could not be mapped, though the device is there.
    #[error("reading back {bytes} bytes failed: {reason}")]
    Readback {
        /// Size of the read.
        bytes: u64,
        /// What wgpu said.
        reason: String,
    },
    /// The device is gone; make a new one.
    #[error("the device was lost: {reason}")]
    DeviceLost {
        /// What the driver said.
        reason: String,
    },
    /// There is no memory for a buffer. What was there before is as it was.
    #[error("the device is out of memory: {reason}")]
    OutOfMemory {
        /// What it was for, or what wgpu said.
        reason: String,
    },
    /// The device takes work and executes none of it: a driver without a GPU behind it, or a broken one.
    #[error("the device executes nothing of what is submitted to it")]
    NothingRan,
    /// wgpu refused or failed to carry out work: a fault of this crate, or of the caller's own
    /// use of the device.
    #[error("the device reported: {reason}")]
    Device {
        /// What wgpu said.
        reason: String,
    },
}

/// Layer state that cannot be loaded or saved.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Not a safetensors file.
    #[error("not a valid safetensors file: {reason}")]
    Format {
        /// What the parser said.
        reason: String,
    },
    /// A tensor that must be there.
    #[error("tensor {name:?} is missing")]
    Missing {
        /// Its name, prefix included.
        name: String,
    },
    /// A tensor that has no place in this layer.
    #[error("tensor {name:?} has no place in a layer made without it")]
    Unexpected {
        /// Its name, prefix included.
        name: String,
    },
    /// A tensor of another element type than expected.
    #[error("tensor {name:?} has dtype {got}, expected {expected}")]
    Dtype {
        /// Its name, prefix included.
        name: String,
        /// Its dtype.
        got: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A tensor of another shape than expected.
    #[error("tensor {name:?} has shape {got:?}, expected {expected:?}")]
    Shape {
        /// Its name, prefix included.
        name: String,
        /// Its shape.
        got: Vec<usize>,
        /// What was expected.
        expected: Vec<usize>,
    },
    /// A value no layer can have.
    #[error("tensor {name:?} holds {got} at {index}, expected {expected}")]
    Value {
        /// Its name, prefix included.
        name: String,
        /// The value found.
        got: String,
        /// Where.
        index: usize,
        /// What was expected.
        expected: &'static str,
    },
}
