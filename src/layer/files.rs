//! A layer in and out of safetensors.

use super::BatchNorm;
use crate::config::Config;
use crate::error::Error;
use crate::gpu::Gpu;
use crate::state::LayerState;

impl BatchNorm {
    /// A layer of `channels` channels as a PyTorch checkpoint holds it, its tensors named
    /// `{prefix}weight` and so on.
    ///
    /// # Errors
    /// What [`LayerState::from_safetensors`] and [`BatchNorm::with_state`] refuse.
    pub fn from_safetensors(
        gpu: &Gpu,
        channels: usize,
        config: Config,
        bytes: &[u8],
        prefix: &str,
    ) -> Result<Self, Error> {
        let state = LayerState::from_safetensors(bytes, prefix, channels, &config)?;
        // Errors name tensors as the file does.
        state.validate_under(prefix, channels, &config)?;
        Self::with_state(gpu, channels, config, &state)
    }

    /// The layer's state as a safetensors file under PyTorch's names. Several layers go into one file by
    /// [`LayerState::all_to_safetensors`].
    ///
    /// # Errors
    /// A device that was lost or reported a fault.
    pub async fn to_safetensors(&self, prefix: &str) -> Result<Vec<u8>, Error> {
        Ok(self.state().await?.to_safetensors(prefix)?)
    }

    /// Blocking twin of [`BatchNorm::to_safetensors`].
    ///
    /// # Errors
    /// As there.
    #[cfg(feature = "blocking")]
    pub fn to_safetensors_blocking(&self, prefix: &str) -> Result<Vec<u8>, Error> {
        pollster::block_on(self.to_safetensors(prefix))
    }
}
