//! The caller's buffers for each operation: a constructor takes what every call needs, setters take
//! the rest.

use wgpu::BufferSlice;

use super::WeightsBuffer;

/// Buffers of training forward.
///
/// C is the channel count. Tensors hold the configuration's [`Element`](crate::Element), and
/// [`Plan`](crate::Plan) says how many bytes each buffer needs.
#[derive(Clone, Copy, Debug)]
pub struct TrainBuffers<'a> {
    pub(super) x: BufferSlice<'a>,
    pub(super) weights: Option<WeightsBuffer<'a>>,
    pub(super) y: Option<BufferSlice<'a>>,
    pub(super) residual: Option<BufferSlice<'a>>,
    pub(super) affine: Option<BufferSlice<'a>>,
    pub(super) running: Option<BufferSlice<'a>>,
    pub(super) keep_running: bool,
    pub(super) saved: BufferSlice<'a>,
    pub(super) moments: Option<MomentsRows<'a>>,
    pub(super) workspace: BufferSlice<'a>,
}

impl<'a> TrainBuffers<'a> {
    /// Training forward that puts `y` over `x`, unless [`TrainBuffers::with_y`] gives it a place of its own.
    ///
    /// - `x`: the input, [`tensor_bytes`](crate::Plan::tensor_bytes), read.
    /// - `saved`: pivot, offset, inv_std, batch_mean, batch_var (biased), `[5][C]` f32,
    ///   [`saved_bytes`](crate::Plan::saved_bytes), written.
    /// - `workspace`: scratch, [`workspace_bytes`](crate::Plan::workspace_bytes).
    pub fn new(x: BufferSlice<'a>, saved: BufferSlice<'a>, workspace: BufferSlice<'a>) -> Self {
        Self {
            x,
            weights: None,
            y: None,
            residual: None,
            affine: None,
            running: None,
            keep_running: false,
            saved,
            moments: None,
            workspace,
        }
    }

    /// Sets the weights of the values of `x`, read; without them each counts as one.
    pub fn with_weights(mut self, weights: impl Into<Option<WeightsBuffer<'a>>>) -> Self {
        self.weights = weights.into();
        self
    }

    /// Sets the output, in the input's shape, written. Without it the output replaces `x`, and then
    /// there is no backward pass through these statistics.
    pub fn with_y(mut self, y: impl Into<Option<BufferSlice<'a>>>) -> Self {
        self.y = y.into();
        self
    }

    /// Sets what is added before the activation, in the input's shape, read. It cannot be `x` itself:
    /// buffers may be bound writable, and browsers refuse writable bindings that overlap.
    pub fn with_residual(mut self, residual: impl Into<Option<BufferSlice<'a>>>) -> Self {
        self.residual = residual.into();
        self
    }

    /// Sets weight and bias, `[2][C]` f32, [`affine_bytes`](crate::Plan::affine_bytes), read. The plan needs them
    /// unless its configuration has neither.
    pub fn with_affine(mut self, affine: impl Into<Option<BufferSlice<'a>>>) -> Self {
        self.affine = affine.into();
        self
    }

    /// Sets running mean, running variance (f32) and number of batches (u32), `[3][C]`,
    /// [`running_bytes`](crate::Plan::running_bytes), updated. The plan needs them where its configuration keeps
    /// running statistics; where moments are given, they are updated if they are given.
    /// [`with_keep_running`](Self::with_keep_running) does without them.
    pub fn with_running(mut self, running: impl Into<Option<BufferSlice<'a>>>) -> Self {
        self.running = running.into();
        self
    }

    /// Leaves running statistics as they are, and takes no buffer for them: to compute a pass again for its gradients.
    pub fn with_keep_running(mut self, keep_running: bool) -> Self {
        self.keep_running = keep_running;
        self
    }

    /// Normalizes with these moments, those of a whole batch of which `x` is a part, instead of the
    /// moments of `x`: the second half of training forward in parts.
    pub fn with_moments(mut self, moments: impl Into<Option<MomentsRows<'a>>>) -> Self {
        self.moments = moments.into();
        self
    }
}

/// Buffers of inference.
#[derive(Clone, Copy, Debug)]
pub struct InferenceBuffers<'a> {
    pub(super) x: BufferSlice<'a>,
    pub(super) weights: Option<WeightsBuffer<'a>>,
    pub(super) y: Option<BufferSlice<'a>>,
    pub(super) residual: Option<BufferSlice<'a>>,
    pub(super) affine: Option<BufferSlice<'a>>,
    pub(super) running: BufferSlice<'a>,
}

impl<'a> InferenceBuffers<'a> {
    /// Inference that puts `y` over `x`, unless [`InferenceBuffers::with_y`] gives it a place of its own.
    ///
    /// - `x`: the input, [`tensor_bytes`](crate::Plan::tensor_bytes), read.
    /// - `running`: running mean, running variance and number of batches, `[3][C]`,
    ///   [`running_bytes`](crate::Plan::running_bytes), read.
    pub fn new(x: BufferSlice<'a>, running: BufferSlice<'a>) -> Self {
        Self {
            x,
            weights: None,
            y: None,
            residual: None,
            affine: None,
            running,
        }
    }

    /// Sets the weights of the values of `x`, read: they tell where there is padding.
    pub fn with_weights(mut self, weights: impl Into<Option<WeightsBuffer<'a>>>) -> Self {
        self.weights = weights.into();
        self
    }

    /// Sets the output, in the input's shape, written. Without it the output replaces `x`.
    pub fn with_y(mut self, y: impl Into<Option<BufferSlice<'a>>>) -> Self {
        self.y = y.into();
        self
    }

    /// Sets what is added before the activation, in the input's shape, read; not `x` itself.
    pub fn with_residual(mut self, residual: impl Into<Option<BufferSlice<'a>>>) -> Self {
        self.residual = residual.into();
        self
    }

    /// Sets weight and bias, `[2][C]` f32, [`affine_bytes`](crate::Plan::affine_bytes), read. The plan needs them
    /// unless its configuration has neither.
    pub fn with_affine(mut self, affine: impl Into<Option<BufferSlice<'a>>>) -> Self {
        self.affine = affine.into();
        self
    }
}

/// The statistics that a forward pass normalized with, as rows on the device.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum StatisticsRows<'a> {
    /// What training forward saved: pivot, offset, inv_std, batch_mean, batch_var, `[5][C]` f32,
    /// [`saved_bytes`](crate::Plan::saved_bytes).
    Saved(BufferSlice<'a>),
    /// What inference used: running mean, running variance and number of batches, `[3][C]`,
    /// [`running_bytes`](crate::Plan::running_bytes). Backward takes them as frozen.
    Running(BufferSlice<'a>),
}

/// Buffers of backward.
#[derive(Clone, Copy, Debug)]
pub struct BackwardBuffers<'a> {
    pub(super) x: BufferSlice<'a>,
    pub(super) weights: Option<WeightsBuffer<'a>>,
    pub(super) dy: BufferSlice<'a>,
    pub(super) dx: Option<BufferSlice<'a>>,
    pub(super) residual: Option<BufferSlice<'a>>,
    pub(super) dresidual: Option<BufferSlice<'a>>,
    pub(super) affine: Option<BufferSlice<'a>>,
    pub(super) statistics: StatisticsRows<'a>,
    pub(super) grads: Option<BufferSlice<'a>>,
    pub(super) accumulate: bool,
    pub(super) sums: Option<SumsRows<'a>>,
    pub(super) workspace: BufferSlice<'a>,
}

impl<'a> BackwardBuffers<'a> {
    /// Backward through `statistics`: through the batch's own, where they were saved, or through running
    /// statistics, frozen. At least one of `dx`, `dresidual` and `grads` is set as well.
    ///
    /// - `x`: the input of the forward pass, [`tensor_bytes`](crate::Plan::tensor_bytes), read.
    /// - `dy`: the upstream gradient, in the input's shape, read.
    /// - `workspace`: scratch, [`workspace_bytes`](crate::Plan::workspace_bytes).
    pub fn new(
        x: BufferSlice<'a>,
        dy: BufferSlice<'a>,
        statistics: StatisticsRows<'a>,
        workspace: BufferSlice<'a>,
    ) -> Self {
        Self {
            x,
            weights: None,
            dy,
            dx: None,
            residual: None,
            dresidual: None,
            affine: None,
            statistics,
            grads: None,
            accumulate: false,
            sums: None,
            workspace,
        }
    }

    /// Sets the weights of the values of `x`, read: those of the forward pass.
    pub fn with_weights(mut self, weights: impl Into<Option<WeightsBuffer<'a>>>) -> Self {
        self.weights = weights.into();
        self
    }

    /// Sets where the input's gradient goes, in the input's shape.
    pub fn with_dx(mut self, dx: impl Into<Option<BufferSlice<'a>>>) -> Self {
        self.dx = dx.into();
        self
    }

    /// Sets the residual of the forward pass, in the input's shape, read. Where forward had one and an
    /// activation, backward needs it to find the activation's slope; without an activation it does not.
    pub fn with_residual(mut self, residual: impl Into<Option<BufferSlice<'a>>>) -> Self {
        self.residual = residual.into();
        self
    }

    /// Sets where the residual's gradient goes, in the input's shape.
    pub fn with_dresidual(mut self, dresidual: impl Into<Option<BufferSlice<'a>>>) -> Self {
        self.dresidual = dresidual.into();
        self
    }

    /// Sets weight and bias, `[2][C]` f32, [`affine_bytes`](crate::Plan::affine_bytes), read. The plan needs them
    /// unless its configuration has neither.
    pub fn with_affine(mut self, affine: impl Into<Option<BufferSlice<'a>>>) -> Self {
        self.affine = affine.into();
        self
    }

    /// Sets where dweight and dbias go, `[2][C]` f32, [`grads_bytes`](crate::Plan::grads_bytes).
    pub fn with_grads(mut self, grads: impl Into<Option<BufferSlice<'a>>>) -> Self {
        self.grads = grads.into();
        self
    }

    /// Sets whether gradients are added to what `grads` holds instead of replacing it; `grads` is
    /// needed then.
    pub fn with_accumulate(mut self, accumulate: bool) -> Self {
        self.accumulate = accumulate;
        self
    }

    /// Computes `dx` from these sums, those of a whole batch of which `x` is a part, instead of the
    /// sums of `x`: the second half of backward in parts. It writes `dx` alone; `saved` is that of the whole batch.
    pub fn with_sums(mut self, sums: impl Into<Option<SumsRows<'a>>>) -> Self {
        self.sums = sums.into();
        self
    }
}

/// Buffers of the first half of training forward: the moments of a part of a batch.
#[derive(Clone, Copy, Debug)]
pub struct MomentsBuffers<'a> {
    pub(super) x: BufferSlice<'a>,
    pub(super) weights: Option<WeightsBuffer<'a>>,
    pub(super) moments: BufferSlice<'a>,
    pub(super) workspace: BufferSlice<'a>,
}

impl<'a> MomentsBuffers<'a> {
    /// The moments of `x`.
    ///
    /// - `x`: the input, [`tensor_bytes`](crate::Plan::tensor_bytes), read.
    /// - `moments`: pivot, offset and m2 (the sum of squares about the mean), `[3][C]` f32,
    ///   [`moments_bytes`](crate::Plan::moments_bytes), written;
    ///   [`Moments::from_rows`](crate::Moments::from_rows) reads them on the host.
    /// - `workspace`: scratch, [`workspace_bytes`](crate::Plan::workspace_bytes).
    pub fn new(x: BufferSlice<'a>, moments: BufferSlice<'a>, workspace: BufferSlice<'a>) -> Self {
        Self {
            x,
            weights: None,
            moments,
            workspace,
        }
    }

    /// Sets the weights of the values of `x`, read. Their sum is the count of these moments.
    pub fn with_weights(mut self, weights: impl Into<Option<WeightsBuffer<'a>>>) -> Self {
        self.weights = weights.into();
        self
    }
}

/// Moments on the device, and how many values per channel they are of.
#[derive(Clone, Copy, Debug)]
pub struct MomentsRows<'a> {
    pub(super) rows: BufferSlice<'a>,
    pub(super) count: f64,
}

impl<'a> MomentsRows<'a> {
    /// Moments of `count` values per channel.
    ///
    /// `rows` holds pivot, offset and m2 (the sum of squares about the mean), `[3][C]` f32,
    /// [`moments_bytes`](crate::Plan::moments_bytes). Of values with weights, `count` is the sum of the weights. Without weights
    /// `bind_train` refuses one that is no whole number or that is too small.
    pub fn new(rows: BufferSlice<'a>, count: f64) -> Self {
        Self { rows, count }
    }
}

/// The sums of a backward pass on the device, and how many values per channel they are of.
#[derive(Clone, Copy, Debug)]
pub struct SumsRows<'a> {
    pub(super) rows: BufferSlice<'a>,
    pub(super) count: f64,
}

impl<'a> SumsRows<'a> {
    /// Sums over `count` values per channel.
    ///
    /// `rows` holds dweight and dbias of the whole batch, as
    /// [`with_grads`](BackwardBuffers::with_grads) leaves them: `[2][C]` f32, [`grads_bytes`](crate::Plan::grads_bytes), read.
    /// They are the batch's alone: add them to an optimizer's gradients afterwards. Of values with weights, `count` is the sum of
    /// the weights. Without weights `bind_backward` refuses one that is no whole number or that is smaller than the part's own.
    pub fn new(rows: BufferSlice<'a>, count: f64) -> Self {
        Self { rows, count }
    }
}
