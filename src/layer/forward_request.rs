//! What a forward pass is asked to do.

use crate::tensor::Tensor;
use crate::weights::Outside;

/// Which statistics a forward pass normalizes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// The batch's own; running statistics move.
    Train,
    /// The running ones; the batch's own where the layer keeps none, as PyTorch does.
    Eval,
}

/// What a forward pass does. A [`Mode`] alone is such a request.
#[derive(Clone, Copy, Debug)]
pub struct ForwardRequest<'a> {
    pub(crate) mode: Mode,
    pub(crate) residual: Option<&'a Tensor>,
    pub(crate) weights: Option<(&'a Tensor, Outside)>,
    pub(crate) in_place: bool,
    pub(crate) keep_running: bool,
}

impl<'a> ForwardRequest<'a> {
    /// A forward pass in this mode, without a residual, whose output is a tensor of its own.
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            residual: None,
            weights: None,
            in_place: false,
            keep_running: false,
        }
    }

    /// Adds `residual` before the activation: `y = g(BN(x) + residual)`, g the configuration's activation. It has
    /// the input's shape and element.
    pub fn with_residual(mut self, residual: impl Into<Option<&'a Tensor>>) -> Self {
        self.residual = residual.into();
        self
    }

    /// Weighs the values of `x`, which without weights count as one each. `weights` is f32, and its shape is 1 on the channel
    /// axis and, on each other, 1 or as long as `x`, aligned from the right. [`Weights`](crate::Weights) says what they mean,
    /// and [`WeightsBuffer`](crate::WeightsBuffer) what becomes of some that are none. In [`Mode::Eval`] they tell padding
    /// alone. Backward reads them again.
    ///
    /// ```
    /// use wgpu_batchnorm::{BatchNorm, Config, ForwardRequest, Mode, Outside, Tensor};
    ///
    /// # let gpu = wgpu_batchnorm::Gpu::new_blocking(&wgpu_batchnorm::Adapter::Best)?;
    /// let mut layer = BatchNorm::new(&gpu, 1, Config::pytorch())?;
    /// // Two sequences, of 4 steps and of 2.
    /// let values = [1.0, 2.0, 3.0, 4.0, 5.0, 9.0, f32::NAN, f32::NAN];
    /// let x = Tensor::upload(&gpu, &[2, 1, 4], &values)?;
    /// let mask = Tensor::upload(&gpu, &[2, 1, 4], &[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0])?;
    /// let request = ForwardRequest::new(Mode::Train).with_weights(&mask, Outside::Zero);
    /// let forward = layer.forward(&x, request)?;
    /// let y = forward.y.read_blocking()?;
    /// assert!(y[3].abs() < 1e-6); // 4 is the mean
    /// assert_eq!(y[6..], [0.0, 0.0]);
    /// # Ok::<_, wgpu_batchnorm::Error>(())
    /// ```
    pub fn with_weights(mut self, weights: &'a Tensor, outside: Outside) -> Self {
        self.weights = Some((weights, outside));
        self
    }

    /// Puts `y` over `x`, without a tensor of its own. There is no backward pass after it, nor after an earlier
    /// forward pass that had this tensor as its `x` or its residual.
    pub fn with_in_place(mut self, in_place: bool) -> Self {
        self.in_place = in_place;
        self
    }

    /// Leaves running statistics and counts as they are where the pass normalizes with the batch's own: to compute a pass
    /// again for its gradients, as gradient checkpointing does.
    pub fn with_keep_running(mut self, keep_running: bool) -> Self {
        self.keep_running = keep_running;
        self
    }
}

impl From<Mode> for ForwardRequest<'_> {
    fn from(mode: Mode) -> Self {
        Self::new(mode)
    }
}
