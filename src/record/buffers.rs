//! The caller's buffers, a struct for each operation.

use wgpu::BufferSlice;

/// Buffers of training forward.
#[derive(Clone, Copy, Debug)]
pub struct TrainBuffers<'a> {
    /// Input, read.
    pub x: BufferSlice<'a>,
    /// Output in the input's shape, written; `None` puts it over `x`, after
    /// which there is no backward through these statistics.
    pub y: Option<BufferSlice<'a>>,
    /// What is added before the activation, in the input's shape, read. Not `x` itself: browsers refuse
    /// bindings that overlap.
    pub residual: Option<BufferSlice<'a>>,
    /// weight and bias, `[2][C]`, read; given unless the configuration has neither.
    pub affine: Option<BufferSlice<'a>>,
    /// mean, variance and batches (u32), `[3][C]`, moved; given where the configuration keeps
    /// running statistics.
    pub running: Option<BufferSlice<'a>>,
    /// pivot, offset, inv_std, batch_mean, batch_var (biased), `[5][C]`, written.
    pub saved: BufferSlice<'a>,
    /// Scratch of [`Plan::workspace_bytes`].
    pub workspace: BufferSlice<'a>,
}

/// Buffers of inference.
#[derive(Clone, Copy, Debug)]
pub struct InferenceBuffers<'a> {
    /// Input, read.
    pub x: BufferSlice<'a>,
    /// Output in the input's shape, written; `None` puts it over `x`.
    pub y: Option<BufferSlice<'a>>,
    /// What is added before the activation, in the input's shape, read.
    pub residual: Option<BufferSlice<'a>>,
    /// weight and bias, `[2][C]`, read; given unless the configuration has neither.
    pub affine: Option<BufferSlice<'a>>,
    /// mean, variance and batches, `[3][C]`, read.
    pub running: BufferSlice<'a>,
}

/// Buffers of backward through batch statistics.
#[derive(Clone, Copy, Debug)]
pub struct BackwardBuffers<'a> {
    /// The input of the forward pass, read.
    pub x: BufferSlice<'a>,
    /// Upstream gradient, read.
    pub dy: BufferSlice<'a>,
    /// Gradient of the input, written; may be skipped.
    pub dx: Option<BufferSlice<'a>>,
    /// The residual of the forward pass, read: it must be given where forward had one and there is an
    /// activation, whose place it decides.
    pub residual: Option<BufferSlice<'a>>,
    /// Gradient of the residual, written; may be skipped.
    pub dresidual: Option<BufferSlice<'a>>,
    /// weight and bias, `[2][C]`, read; given unless the configuration has neither.
    pub affine: Option<BufferSlice<'a>>,
    /// What training forward saved, `[5][C]`, read.
    pub saved: BufferSlice<'a>,
    /// dweight and dbias, `[2][C]`, written or added into; may be skipped.
    pub grads: Option<BufferSlice<'a>>,
    /// Whether gradients are added to what `grads` holds, which must be given then.
    pub accumulate: bool,
    /// Scratch of [`Plan::workspace_bytes`].
    pub workspace: BufferSlice<'a>,
}

/// Buffers of backward through frozen statistics.
#[derive(Clone, Copy, Debug)]
pub struct FrozenBackwardBuffers<'a> {
    /// The input of the forward pass, read.
    pub x: BufferSlice<'a>,
    /// Upstream gradient, read.
    pub dy: BufferSlice<'a>,
    /// Gradient of the input, written; may be skipped.
    pub dx: Option<BufferSlice<'a>>,
    /// The residual of the forward pass, read; without an activation it is not needed.
    pub residual: Option<BufferSlice<'a>>,
    /// Gradient of the residual, written; may be skipped.
    pub dresidual: Option<BufferSlice<'a>>,
    /// weight and bias, `[2][C]`, read; given unless the configuration has neither.
    pub affine: Option<BufferSlice<'a>>,
    /// The statistics that inference used, `[3][C]`, read.
    pub running: BufferSlice<'a>,
    /// dweight and dbias, `[2][C]`, written or added into; may be skipped.
    pub grads: Option<BufferSlice<'a>>,
    /// Whether gradients are added to what `grads` holds, which must be given then.
    pub accumulate: bool,
    /// Scratch of [`Plan::workspace_bytes`].
    pub workspace: BufferSlice<'a>,
}

/// Buffers of the first half of training forward: the moments of a part of a batch.
#[derive(Clone, Copy, Debug)]
pub struct MomentsBuffers<'a> {
    /// Input, read.
    pub x: BufferSlice<'a>,
    /// pivot, offset and m2, `[3][C]`, written: [`Moments::from_rows`](crate::Moments::from_rows)
    /// reads them.
    pub moments: BufferSlice<'a>,
    /// Scratch of [`Plan::workspace_bytes`].
    pub workspace: BufferSlice<'a>,
}

/// Moments on the device.
#[derive(Clone, Copy, Debug)]
pub struct MomentsRows<'a> {
    /// pivot, offset and m2, `[3][C]`.
    pub rows: BufferSlice<'a>,
    /// Values per channel behind them.
    pub count: u64,
}
