//! Blocking twins.

use super::{BackwardRequest, BatchNorm, Forward, ForwardRequest, Gradients, Mode, Saved};
use crate::error::Error;
use crate::functional::Folded;
use crate::state::LayerState;
use crate::stats::SavedStatistics;
use crate::tensor::Tensor;

impl BatchNorm {
    /// Blocking twin of [`BatchNorm::forward`].
    ///
    /// # Errors
    /// As there.
    pub fn forward_blocking(&mut self, x: &Tensor, mode: Mode) -> Result<Forward, Error> {
        pollster::block_on(self.forward(x, mode))
    }

    /// Blocking twin of [`BatchNorm::forward_with`].
    ///
    /// # Errors
    /// As there.
    pub fn forward_with_blocking(
        &mut self,
        x: &Tensor,
        mode: Mode,
        request: ForwardRequest<'_>,
    ) -> Result<Forward, Error> {
        pollster::block_on(self.forward_with(x, mode, request))
    }

    /// Blocking twin of [`BatchNorm::backward`].
    ///
    /// # Errors
    /// As there.
    pub fn backward_blocking(
        &mut self,
        x: &Tensor,
        dy: &Tensor,
        saved: Saved,
    ) -> Result<Gradients, Error> {
        pollster::block_on(self.backward(x, dy, saved))
    }

    /// Blocking twin of [`BatchNorm::backward_with`].
    ///
    /// # Errors
    /// As there.
    pub fn backward_with_blocking(
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

    /// Blocking twin of [`BatchNorm::fold_into_linear`].
    ///
    /// # Errors
    /// As there.
    pub fn fold_into_linear_blocking(
        &self,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Folded, Error> {
        pollster::block_on(self.fold_into_linear(weight, bias))
    }

    /// Blocking twin of [`BatchNorm::to_safetensors`].
    ///
    /// # Errors
    /// As there.
    #[cfg(feature = "state")]
    pub fn to_safetensors_blocking(&self, prefix: &str) -> Result<Vec<u8>, Error> {
        pollster::block_on(self.to_safetensors(prefix))
    }
}

impl Saved {
    /// Blocking twin of [`Saved::read`].
    ///
    /// # Errors
    /// As there.
    pub fn read_blocking(&self) -> Result<Option<SavedStatistics>, Error> {
        pollster::block_on(self.read())
    }
}

impl Gradients {
    /// Blocking twin of [`Gradients::dweight`].
    ///
    /// # Errors
    /// As there.
    pub fn dweight_blocking(&self) -> Result<Vec<f32>, Error> {
        pollster::block_on(self.dweight())
    }

    /// Blocking twin of [`Gradients::dbias`].
    ///
    /// # Errors
    /// As there.
    pub fn dbias_blocking(&self) -> Result<Vec<f32>, Error> {
        pollster::block_on(self.dbias())
    }
}
