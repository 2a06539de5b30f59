//! What each operation binds.

use super::Operation;
use crate::config::{Affine, Config};
use crate::plan::{Needs, Schedule};
use crate::shaders::Role;

/// A buffer that an operation binds, or a texture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Which of the shaders' bindings it is.
    pub role: Role,
    /// What it is called in errors and documentation.
    pub name: &'static str,
    /// What it holds.
    pub holds: Holds,
    /// When the caller gives it.
    pub given: Given,
}

/// What a buffer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// A tensor in the input's shape.
    Tensor,
    /// So many rows of a 32-bit value for each channel.
    Rows(u64),
    /// Scratch between dispatches.
    Scratch,
    /// An image; no buffer.
    Texture,
    /// An image as a tensor of f32, of three channels or four.
    Planes,
    /// Weights, of a shape of their own.
    Weights,
}

/// When a caller gives a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// Always.
    Always,
    /// Where the caller wants what it is for.
    AtWill,
    /// Where the configuration has a weight or a bias, and then always.
    WithAffine,
    /// Where the configuration keeps running statistics, and then always.
    WithRunning,
    /// Where the configuration keeps running statistics and the caller wants them moved.
    AtWillWithRunning,
}

impl Given {
    /// Whether it must be given, and whether it may be.
    pub(crate) fn must_and_may(self, config: &Config) -> (bool, bool) {
        let affine = config.affine != Affine::None;
        let running = config.running.is_some();
        match self {
            Self::Always => (true, true),
            Self::AtWill => (false, true),
            Self::WithAffine => (affine, affine),
            Self::WithRunning => (running, running),
            Self::AtWillWithRunning => (false, running),
        }
    }
}

impl Holds {
    /// Its bytes in operations on `schedule`.
    pub(crate) fn bytes(self, schedule: &Schedule) -> u64 {
        match self {
            Self::Tensor => schedule.element.bytes_of(schedule.view.len()),
            Self::Rows(rows) => rows::bytes(rows, schedule.view.channels()),
            Self::Scratch => schedule.workspace_bytes(),
            // What was asked for says how many there are.
            Self::Texture | Self::Planes | Self::Weights => 0,
        }
    }
}

/// How many rows of a 32-bit value for each channel a buffer has.
pub(crate) mod rows {
    /// weight, bias.
    pub(crate) const AFFINE: u64 = 2;
    /// mean, variance, batches.
    pub(crate) const RUNNING: u64 = 3;
    /// pivot, offset, inv_std, batch_mean, batch_var.
    pub(crate) const SAVED: u64 = 5;
    /// dweight, dbias.
    pub(crate) const GRADS: u64 = 2;
    /// pivot, offset, m2.
    pub(crate) const MOMENTS: u64 = 3;

    /// Bytes of so many rows.
    pub(crate) fn bytes(rows: u64, channels: usize) -> u64 {
        channels as u64 * rows * 4
    }
}

const fn buffer(role: Role, name: &'static str, holds: Holds, given: Given) -> Buffer {
    Buffer {
        role,
        name,
        holds,
        given,
    }
}

use Given::{Always, AtWill, AtWillWithRunning, WithAffine, WithRunning};
use Holds::{Planes, Rows, Scratch, Tensor, Texture};

const X: Buffer = buffer(Role::X, "x", Tensor, Always);
/// Without one, y goes over x.
const Y: Buffer = buffer(Role::Out, "y", Tensor, AtWill);
const RESIDUAL: Buffer = buffer(Role::Residual, "residual", Tensor, AtWill);
const DY: Buffer = buffer(Role::Dy, "dy", Tensor, Always);
const DX: Buffer = buffer(Role::Out, "dx", Tensor, AtWill);
const DRESIDUAL: Buffer = buffer(Role::Dresidual, "dresidual", Tensor, AtWill);
const X_IMAGE: Buffer = buffer(Role::X, "x", Texture, Always);
const Y_IMAGE: Buffer = buffer(Role::Out, "y", Texture, Always);
const X_PLANES: Buffer = buffer(Role::X, "x", Planes, Always);
const Y_PLANES: Buffer = buffer(Role::Out, "y", Planes, Always);
// One of the two.
const SAVED_READ: Buffer = buffer(Role::Saved, "saved", Rows(rows::SAVED), AtWill);
const GIVEN_RUNNING: Buffer = buffer(Role::Statistics, "running", Rows(rows::RUNNING), AtWill);
const AFFINE: Buffer = buffer(Role::Affine, "affine", Rows(rows::AFFINE), WithAffine);
const RUNNING: Buffer = buffer(
    Role::Statistics,
    "running",
    Rows(rows::RUNNING),
    WithRunning,
);
/// Of a batch whose statistics may stay as they are, or that is one part of several.
const RUNNING_AT_WILL: Buffer = buffer(
    Role::Statistics,
    "running",
    Rows(rows::RUNNING),
    AtWillWithRunning,
);
const RUNNING_READ: Buffer = buffer(Role::Statistics, "running", Rows(rows::RUNNING), Always);
const SAVED: Buffer = buffer(Role::Saved, "saved", Rows(rows::SAVED), Always);
const GRADS: Buffer = buffer(Role::Grads, "grads", Rows(rows::GRADS), AtWill);
const WORKSPACE: Buffer = buffer(Role::Partials, "workspace", Scratch, Always);
const MOMENTS: Buffer = buffer(Role::Statistics, "moments", Rows(rows::MOMENTS), Always);
const GIVEN_MOMENTS: Buffer = buffer(Role::Given, "moments", Rows(rows::MOMENTS), Always);
const DX_OF_A_PART: Buffer = buffer(Role::Out, "dx", Tensor, Always);
const SUMS: Buffer = buffer(Role::Grads, "sums", Rows(rows::GRADS), Always);
const INTO: Buffer = buffer(Role::Statistics, "into", Rows(rows::MOMENTS), Always);
const OTHER: Buffer = buffer(Role::Given, "other", Rows(rows::MOMENTS), Always);
const WEIGHTS: Buffer = buffer(Role::Weights, "weights", Holds::Weights, AtWill);
const NEW_Y: Buffer = buffer(Role::Out, "y", Tensor, Always);
const STATISTICS: Buffer = buffer(Role::Statistics, "statistics", Rows(rows::MOMENTS), Always);

impl Operation {
    /// What it binds.
    #[rustfmt::skip]
    pub fn buffers(self) -> &'static [Buffer] {
        match self {
            Self::Train => &[X, WEIGHTS, Y, RESIDUAL, AFFINE, RUNNING_AT_WILL, SAVED, WORKSPACE],
            Self::TrainPart => &[
                X, WEIGHTS, Y, RESIDUAL, AFFINE, RUNNING_AT_WILL, SAVED, GIVEN_MOMENTS, WORKSPACE,
            ],
            Self::Inference => &[X, WEIGHTS, Y, RESIDUAL, AFFINE, RUNNING_READ],
            Self::Moments => &[X, WEIGHTS, MOMENTS, WORKSPACE],
            Self::MergeMoments => &[INTO, OTHER],
            Self::Backward => &[
                X, WEIGHTS, DY, DX, RESIDUAL, DRESIDUAL, AFFINE, SAVED, GRADS, WORKSPACE,
            ],
            Self::BackwardPart => &[
                X, WEIGHTS, DY, DX_OF_A_PART, RESIDUAL, AFFINE, SAVED, SUMS, WORKSPACE,
            ],
            Self::BackwardFrozen => &[
                X, WEIGHTS, DY, DX, RESIDUAL, DRESIDUAL, AFFINE, RUNNING_READ, GRADS, WORKSPACE,
            ],
            Self::ImageTrain => &[X_IMAGE, WEIGHTS, Y_IMAGE, AFFINE, RUNNING, SAVED, WORKSPACE],
            Self::ImageInference => &[X_IMAGE, Y_IMAGE, AFFINE, RUNNING_READ],
            Self::ImageStatistics => &[X_IMAGE, WEIGHTS, RUNNING, SAVED, WORKSPACE],
            Self::ImageRenderSaved => &[X_IMAGE, AFFINE, SAVED],
            Self::ImageRenderRunning => &[X_IMAGE, AFFINE, RUNNING_READ],
            Self::ImageToTensor => &[X_IMAGE, Y_PLANES, AFFINE, SAVED_READ, GIVEN_RUNNING],
            Self::ImageFromTensor => &[X_PLANES, Y_IMAGE, AFFINE, SAVED_READ, GIVEN_RUNNING],
            Self::Normalize => &[X, NEW_Y, AFFINE, STATISTICS],
        }
    }

    /// What it binds beside tensors, as far as it limits the tensors that can be planned for.
    pub fn needs(self) -> Needs {
        let buffers = self.buffers().iter();
        let (what, rows) = buffers
            .filter_map(|buffer| match buffer.holds {
                Rows(rows) => Some((buffer.name, rows)),
                _ => None,
            })
            .max_by_key(|&(_, rows)| rows)
            .unwrap_or(("statistics", 0));
        Needs {
            what: match what {
                "saved" => "saved statistics",
                what => what,
            },
            rows,
            workspace: self.buffers().contains(&WORKSPACE),
            looks: 1,
        }
    }
}
