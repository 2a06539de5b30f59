//! Blocking twins.

use super::{BackwardRequest, BatchNorm, Forward, Gradients, Mode, Saved};
use crate::api_error::Error;
use crate::state::LayerState;
use crate::tensor::Tensor;

impl BatchNorm {
    /// Blocking twin of [`BatchNorm::forward`].
    ///
    /// # Errors
    /// As there.
    pub fn forward_blocking(&mut self, x: &Tensor, mode: Mode) -> Result<Forward, Error> {
        pollster::block_on(self.forward(x, mode))
    }

    /// Blocking twin of [`BatchNorm::backward_with`].
    ///
    /// # Errors
    /// As there.
    pub fn backward_blocking(
        &mut self,
        x: &Tensor,
        dy: &Tensor,
        saved: Saved,
        request: BackwardRequest<'_>,
    ) -> Result<Gradients, Error> {
        pollster::block_on(self.backward_with(x, dy, saved, request))
    }

    /// Blocking twin of [`BatchNorm::state`].
    ///
    /// # Errors
    /// As there.
    pub fn state_blocking(&self) -> Result<LayerState, Error> {
        pollster::block_on(self.state())
    }
}
