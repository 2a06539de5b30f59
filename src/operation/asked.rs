//! What the caller of an operation asked for, beside the configuration.

use crate::shaders::{Role, TexelFormat};
use crate::weights::{Broadcast, MAX_AXES, Outside};

/// What the caller asked for, beside the configuration.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    /// The roles that were given a buffer or a texture, a bit each.
    pub(crate) given: u32,
    /// Values per channel of the whole batch, where the tensor is a part of it; of values with weights, their sum.
    pub(crate) count: Option<f64>,
    /// Values per channel behind the moments that are merged into others.
    pub(crate) other_count: f64,
    /// Where weights lie, and what is outside.
    pub(crate) weights: Option<AskedWeights>,
    /// Whether backward finds its way back through an activation of a sum with the residual.
    pub(crate) through_residual: bool,
    /// Whether gradients are added to what is there.
    pub(crate) accumulate: bool,
    /// Whether an image's alpha is copied.
    pub(crate) keep_alpha: bool,
    /// Whether given statistics are rows of pivot, offset and m2.
    pub(crate) from_moments: bool,
    /// The format of the image that is written.
    pub(crate) format: Option<TexelFormat>,
    /// Width of an image, and the texels of x and y that it begins at.
    pub(crate) width: u32,
    pub(crate) x_origin: [u32; 2],
    pub(crate) y_origin: [u32; 2],
    /// Whether an image's statistics are of its luminance alone.
    pub(crate) luminance: bool,
    /// How a tensor of an image lies.
    pub(crate) tensor: Option<ImageTensor>,
    /// Whether each buffer that is written holds one thing alone: others can be bound read-only then.
    pub(crate) apart: bool,
}

/// Where weights lie, and what becomes of values without.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AskedWeights {
    pub(crate) places: Broadcast,
    pub(crate) outside: Outside,
    /// Whether moments are to have squares over the sum of weights, which the host does not know, in place of squares.
    pub(crate) per_weight: bool,
}

/// Axes of weights; mirrors `WeightAxes` in `shaders/shared/weights.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub(crate) struct WeightAxes {
    pub(crate) axes: [[u32; 4]; MAX_AXES],
}

impl AskedWeights {
    pub(crate) fn axes(&self) -> WeightAxes {
        // Shaders divide by the first.
        let mut axes = [[1, 0, 0, 0]; MAX_AXES];
        for (entry, axis) in axes.iter_mut().zip(self.places.axes()) {
            *entry = [axis.stride as u32, axis.step as u32, 0, 0];
        }
        WeightAxes { axes }
    }
}

/// How an image lies in a tensor of f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ImageTensor {
    /// A plane for each channel, or texels side by side.
    pub(crate) planar: bool,
    /// Four channels, or three.
    pub(crate) alpha: bool,
}

impl ImageTensor {
    pub(crate) fn channels(self) -> u64 {
        if self.alpha { 4 } else { 3 }
    }
}

impl Asked {
    pub(crate) fn has(&self, role: Role) -> bool {
        self.given & (1 << role as u32) != 0
    }

    pub(crate) fn give(&mut self, role: Role) {
        self.given |= 1 << role as u32;
    }
}
