//! Planning.

use super::{ConfigError, ShapeError};

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
    /// Scratch or statistics that one binding cannot hold, a tensor that needs more bindings than there may be, or one that
    /// 32 bits cannot count the bytes of.
    #[error("{what} of {got} bytes exceeds what {limit} allows, which is {max} bytes here")]
    TooLarge {
        /// What would be so large.
        what: &'static str,
        /// The size asked for.
        got: u64,
        /// The limit's name.
        limit: &'static str,
        /// The most that it allows here.
        max: u64,
    },
}
