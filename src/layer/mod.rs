//! The layer API: a batch norm that owns its parameters and statistics on the device.

mod backward;
mod backward_request;
#[cfg(feature = "state")]
mod files;
mod forward;
mod forward_request;
mod recorded;
mod saved;

pub use backward::Gradients;
pub use backward_request::BackwardRequest;
pub use forward::Forward;
pub use forward_request::{ForwardRequest, Mode};
pub use saved::Saved;
#[cfg(feature = "reference")]
pub(crate) use saved::Used;

use std::sync::{Mutex, PoisonError};

use crate::config::{Affine, Config, Momentum};
use crate::element::Element;
use crate::error::Error;
use crate::error::{ConfigError, PlanError, ShapeError};
use crate::gpu::Gpu;
use crate::record::{Plan, WeightsBuffer};
use crate::shape::{same_element, same_shape};
use crate::state::LayerState;
use crate::stats::{Parameters, RunningStatistics, rows};
use crate::tensor::Tensor;
use crate::weights::Outside;

/// A batch normalization layer.
///
/// Tensors are taken as they are stored, f32, f16 or bf16, whatever the configuration's element;
/// what a call gives back is stored as its `x`.
///
/// Calls record work, submit it and return: nothing waits but what reads a result back.
///
/// Running statistics leave out a channel whose batch is not finite ([`NonFinite`](crate::NonFinite)). Where
/// `1/√(σ²+eps)·weight` lies outside of the normal f32, 1.2e-38 to 3.4e38, `y` and `dx` of that channel lose
/// accuracy or are not finite.
///
/// ```
/// # use wgpu_batchnorm::{Adapter, BatchNorm, Config, Gpu, Mode, Tensor};
/// # pollster::block_on(async {
/// let gpu = Gpu::new(&Adapter::Best).await?;
/// let mut layer = BatchNorm::new(&gpu, 3, Config::pytorch())?;
/// let x: Vec<f32> = (0..2 * 3 * 4).map(|i| i as f32).collect();
/// let x = Tensor::upload(&gpu, &[2, 3, 4], &x)?;
/// let forward = layer.forward(&x, Mode::Train)?;
/// let dy = Tensor::upload(&gpu, &[2, 3, 4], &[1.0; 24])?;
/// let gradients = layer.backward(&x, &dy, &forward.saved)?;
/// assert_eq!(gradients.dbias().await?, [8.0; 3]);
/// # Ok::<_, wgpu_batchnorm::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct BatchNorm {
    gpu: Gpu,
    config: Config,
    channels: usize,
    affine: Tensor,
    running: Option<Tensor>,
    num_batches_tracked: u64,
    /// Scratch that all passes share: the queue runs them in order.
    workspace: Mutex<Option<Tensor>>,
}

impl BatchNorm {
    /// A new layer of `channels` channels: weight 1, bias 0, running mean 0, running variance 1.
    ///
    /// # Errors
    /// Zero channels, or so many that one binding of the device cannot hold their statistics; options out of
    /// range; no memory.
    pub fn new(gpu: &Gpu, channels: usize, config: Config) -> Result<Self, Error> {
        let layer = Self::blank(gpu, config, channels)?;
        layer.load_rows(&LayerState::new(channels, &config)?)?;
        Ok(layer)
    }

    /// A layer of `channels` channels with this state.
    ///
    /// # Errors
    /// As [`BatchNorm::new`]; a state that is not such a layer's.
    pub fn with_state(
        gpu: &Gpu,
        channels: usize,
        config: Config,
        state: &LayerState,
    ) -> Result<Self, Error> {
        let mut layer = Self::blank(gpu, config, channels)?;
        layer.load(state)?;
        Ok(layer)
    }

    /// A layer whose rows are still zeros.
    fn blank(gpu: &Gpu, config: Config, channels: usize) -> Result<Self, Error> {
        config.validate()?;
        if channels == 0 {
            return Err(ConfigError::NoChannels.into());
        }
        // The largest rows of per-channel values, before anything is made for them.
        let bytes = (channels as u64).saturating_mul(5 * 4);
        let machine = gpu.context().machine();
        if bytes > machine.max_binding_bytes {
            return Err(Error::Plan(PlanError::TooLarge {
                what: "saved statistics",
                got: bytes,
                limit: machine.binding_limit,
                max: machine.max_binding_bytes,
            }));
        }
        Ok(Self {
            gpu: gpu.clone(),
            config,
            channels,
            affine: Tensor::empty(gpu, &[2, channels])?,
            running: match config.running {
                Some(_) => Some(Tensor::empty(gpu, &[3, channels])?),
                None => None,
            },
            num_batches_tracked: 0,
            workspace: Mutex::default(),
        })
    }

    /// Changes how fast running statistics move.
    ///
    /// # Errors
    /// A momentum out of range; a layer without running statistics.
    pub fn set_momentum(&mut self, momentum: Momentum) -> Result<(), ConfigError> {
        momentum.validate()?;
        match &mut self.config.running {
            Some(running) => running.momentum = momentum,
            None => return Err(ConfigError::NoMomentum),
        }
        Ok(())
    }

    /// The layer's options.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Channels, C.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// weight and bias, `[2, C]`, on the device: an optimizer may step on it. Rows of parameters that the
    /// layer lacks are not read.
    pub fn affine(&self) -> &Tensor {
        &self.affine
    }

    /// mean, variance and batches counted (as u32 bits), `[3, C]`, on the device.
    pub fn running(&self) -> Option<&Tensor> {
        self.running.as_ref()
    }

    /// The device that it lies on.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Training forwards so far, NaN batches included. It stays at `u64::MAX`.
    pub fn num_batches_tracked(&self) -> u64 {
        self.num_batches_tracked
    }

    /// Starts running statistics over: mean 0, variance 1, no batch counted.
    ///
    /// # Errors
    /// What wgpu says against the write at once.
    pub fn reset_running_stats(&mut self) -> Result<(), Error> {
        self.write_running(&RunningStatistics::new(self.channels)?)?;
        self.num_batches_tracked = 0;
        Ok(())
    }

    /// Parameters and statistics on the host.
    ///
    /// # Errors
    /// A device that was lost or reported a fault.
    pub async fn state(&self) -> Result<LayerState, Error> {
        let [weight, bias] = rows(&self.affine.read().await?)?;
        let has = self.config.affine;
        Ok(LayerState {
            weight: has.has_weight().then_some(weight),
            bias: has.has_bias().then_some(bias),
            running: match &self.running {
                Some(running) => Some(RunningStatistics::from_rows(&running.read().await?)?),
                None => None,
            },
            num_batches_tracked: self.num_batches_tracked,
        })
    }

    /// Replaces parameters and statistics.
    ///
    /// # Errors
    /// A state that is not this layer's; nothing is changed then.
    pub fn load(&mut self, state: &LayerState) -> Result<(), Error> {
        state.validate(self.channels, &self.config)?;
        self.load_rows(state)?;
        self.num_batches_tracked = state.num_batches_tracked;
        Ok(())
    }

    /// Writes a state that fits.
    fn load_rows(&self, state: &LayerState) -> Result<(), Error> {
        let parameters = Parameters {
            weight: state.weight.as_deref(),
            bias: state.bias.as_deref(),
        };
        self.affine.write(&parameters.to_rows(self.channels)?)?;
        state
            .running
            .as_ref()
            .map_or(Ok(()), |r| self.write_running(r))
    }

    fn plan(&self, x: &Tensor) -> Result<Plan, Error> {
        self.gpu.owns("x", x.gpu())?;
        let config = self.config.with_element(x.element());
        let plan = self.gpu.context().plan(&config, x.shape())?;
        if plan.view().channels() == self.channels {
            return Ok(plan);
        }
        let axis = crate::shape::resolve_axis(x.shape(), self.config.axis)?;
        let mut expected = x.shape().to_vec();
        expected[axis] = self.channels;
        Err(ShapeError::Mismatch {
            tensor: "x",
            got: x.shape().to_vec(),
            expected,
        }
        .into())
    }

    /// Refuses a tensor of another device, shape or element than `x`.
    fn like(&self, x: &Tensor, name: &'static str, tensor: &Tensor) -> Result<(), Error> {
        self.gpu.owns(name, tensor.gpu())?;
        same_shape(name, tensor.shape(), x.shape())?;
        Ok(same_element(name, tensor.element(), x.element())?)
    }

    /// Weights, as they are bound.
    fn weights<'a>(
        &self,
        weights: Option<(&'a Tensor, Outside)>,
    ) -> Result<Option<WeightsBuffer<'a>>, Error> {
        let Some((weights, outside)) = weights else {
            return Ok(None);
        };
        self.gpu.owns("weights", weights.gpu())?;
        same_element("weights", weights.element(), Element::F32)?;
        Ok(Some(WeightsBuffer::new(
            weights.slice(),
            weights.shape(),
            outside,
        )))
    }

    fn bound_affine(&self) -> Option<wgpu::BufferSlice<'_>> {
        (self.config.affine != Affine::None).then(|| self.affine.slice())
    }

    /// Scratch of at least `bytes`, kept between calls: the queue runs them in order.
    fn workspace(&self, bytes: u64) -> Result<Tensor, Error> {
        let mut kept = self
            .workspace
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some(workspace) if workspace.word_bytes() >= bytes => Ok(workspace.clone()),
            _ => {
                let workspace = Tensor::scratch(&self.gpu, bytes)?;
                Ok(kept.insert(workspace).clone())
            }
        }
    }

    fn write_running(&self, running: &RunningStatistics) -> Result<(), Error> {
        match &self.running {
            Some(tensor) => tensor.write(&running.to_rows()?),
            None => Ok(()),
        }
    }

    /// Takes back what a training forward has moved.
    #[cfg(feature = "reference")]
    pub(crate) fn restore(
        &mut self,
        running: &RunningStatistics,
        batches: u64,
    ) -> Result<(), Error> {
        self.num_batches_tracked = batches;
        self.write_running(running)
    }
}

#[cfg(feature = "blocking")]
impl BatchNorm {
    /// Blocking twin of [`BatchNorm::state`].
    ///
    /// # Errors
    /// As there.
    pub fn state_blocking(&self) -> Result<LayerState, Error> {
        pollster::block_on(self.state())
    }
}
