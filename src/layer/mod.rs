//! The layer API: a batch norm that owns its parameters and statistics on the device.

mod backward;
mod checks;
#[cfg(feature = "state")]
mod files;
mod forward;
#[cfg(feature = "blocking")]
mod twins;

pub use backward::{BackwardRequest, Gradients};
pub use forward::{Forward, ForwardRequest, Mode, Saved};

use crate::check::Check;
use crate::config::{Affine, Config, Momentum};
use crate::error::Error;
use crate::error::{ConfigError, ShapeError};
use crate::functional::{Folded, Trained, fold_into_linear};
use crate::gpu::Gpu;
use crate::record::Plan;
use crate::shape::{same_element, same_shape};
use crate::state::LayerState;
use crate::stats::{Parameters, RunningStatistics, SavedStatistics};
use crate::tensor::Tensor;

/// A batch normalization layer.
///
/// Tensors are taken as they are stored, f32, f16 or bf16, whatever the configuration's element;
/// what a call gives back is stored as its `x`.
///
/// ```
/// # use wgpu_batchnorm::{Adapter, BatchNorm, Config, Gpu, Mode, Tensor};
/// # pollster::block_on(async {
/// let gpu = Gpu::new(&Adapter::Best).await?;
/// let mut layer = BatchNorm::new(&gpu, 3, Config::pytorch())?;
/// let x: Vec<f32> = (0..2 * 3 * 4).map(|i| i as f32).collect();
/// let x = Tensor::upload(&gpu, &[2, 3, 4], &x)?;
/// let forward = layer.forward(&x, Mode::Train).await?;
/// let dy = Tensor::upload(&gpu, &[2, 3, 4], &[1.0; 24])?;
/// let gradients = layer.backward(&x, &dy, forward.saved).await?;
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
    check: Check,
    workspace: Option<Tensor>,
}

impl BatchNorm {
    /// A new layer of `channels` channels: weight 1, bias 0, running mean 0, running variance 1.
    ///
    /// # Errors
    /// Zero channels; options out of range.
    pub fn new(gpu: &Gpu, channels: usize, config: Config) -> Result<Self, Error> {
        Self::with_state(gpu, config, channels, &LayerState::new(channels, &config))
    }

    /// A layer of `channels` channels with this state.
    ///
    /// # Errors
    /// Zero channels; options out of range; a state that is not such a layer's.
    pub fn with_state(
        gpu: &Gpu,
        config: Config,
        channels: usize,
        state: &LayerState,
    ) -> Result<Self, Error> {
        config.validate()?;
        if channels == 0 {
            return Err(ConfigError::NoChannels.into());
        }
        let mut layer = Self {
            gpu: gpu.clone(),
            config,
            channels,
            affine: Tensor::empty(gpu, &[2, channels])?,
            running: match config.running {
                Some(_) => Some(Tensor::empty(gpu, &[3, channels])?),
                None => None,
            },
            num_batches_tracked: 0,
            check: Check::Off,
            workspace: None,
        };
        layer.load(state)?;
        Ok(layer)
    }

    /// Compares every result with the reference from now on. A check reads tensors back and
    /// computes in f64 on one core: for tests and for trust, not for speed.
    pub fn set_check(&mut self, check: Check) {
        self.check = check;
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

    /// weight and bias, `[2, C]`, on the device: an optimizer may step on it. Rows of parameters
    /// the layer lacks are not read.
    pub fn affine(&self) -> &Tensor {
        &self.affine
    }

    /// mean, variance and batches counted (as u32 bits), `[3, C]`, on the device.
    pub fn running(&self) -> Option<&Tensor> {
        self.running.as_ref()
    }

    /// Training forwards so far, NaN batches included.
    pub fn num_batches_tracked(&self) -> u64 {
        self.num_batches_tracked
    }

    /// Starts running statistics over: mean 0, variance 1, no batch counted.
    ///
    /// # Errors
    /// None today; writing to a lost device is reported by the next readback.
    pub fn reset_running_stats(&mut self) -> Result<(), Error> {
        self.num_batches_tracked = 0;
        self.write_running(&RunningStatistics::new(self.channels))
    }

    /// Parameters and statistics on the host.
    ///
    /// # Errors
    /// A device that was lost or reported a fault.
    pub async fn state(&self) -> Result<LayerState, Error> {
        let affine = self.affine.read().await?;
        let has = self.config.affine;
        Ok(LayerState {
            weight: has.has_weight().then(|| row(&affine, 2, 0)),
            bias: has.has_bias().then(|| row(&affine, 2, 1)),
            running: match &self.running {
                Some(running) => Some(read_running(running).await?),
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
        let filled = |values: &Option<Vec<f32>>, missing| match values {
            Some(values) => values.clone(),
            None => vec![missing; self.channels],
        };
        let affine = [filled(&state.weight, 1.0), filled(&state.bias, 0.0)].concat();
        self.affine.write(&affine)?;
        if let Some(running) = &state.running {
            self.write_running(running)?;
        }
        self.num_batches_tracked = state.num_batches_tracked;
        Ok(())
    }

    /// Folds the trained layer into the linear or convolution layer before it: see
    /// [`fold_into_linear`].
    ///
    /// # Errors
    /// A layer without running statistics; lengths that do not fit; a failed device.
    pub async fn fold_into_linear(
        &self,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Folded, Error> {
        let state = self.state().await?;
        let running = state
            .running
            .as_ref()
            .ok_or(ConfigError::NoRunningStatistics)?;
        let trained = Trained {
            parameters: Parameters {
                weight: state.weight.as_deref(),
                bias: state.bias.as_deref(),
            },
            mean: &running.mean,
            variance: &running.variance,
            eps: self.config.eps,
        };
        fold_into_linear(&trained, weight, bias)
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

    fn bound_affine(&self) -> Option<wgpu::BufferSlice<'_>> {
        (self.config.affine != Affine::None).then(|| self.affine.slice())
    }

    /// Scratch of at least `bytes`, kept between calls: the queue runs them in order.
    fn workspace(&mut self, bytes: u64) -> Result<Tensor, Error> {
        match &self.workspace {
            Some(workspace) if workspace.buffer().size() >= bytes => Ok(workspace.clone()),
            _ => {
                let workspace = Tensor::scratch(&self.gpu, bytes)?;
                Ok(self.workspace.insert(workspace).clone())
            }
        }
    }

    fn write_running(&self, running: &RunningStatistics) -> Result<(), Error> {
        let Some(tensor) = &self.running else {
            return Ok(());
        };
        let counts: &[f32] = bytemuck::cast_slice(&running.batches);
        let rows = [&running.mean, &running.variance, counts].concat();
        Ok(tensor.write(&rows)?)
    }
}

/// Row `k` of `rows` rows.
fn row(values: &[f32], rows: usize, k: usize) -> Vec<f32> {
    let len = values.len() / rows;
    values[k * len..(k + 1) * len].to_vec()
}

async fn read_running(tensor: &Tensor) -> Result<RunningStatistics, Error> {
    let values = tensor.read().await?;
    Ok(RunningStatistics {
        mean: row(&values, 3, 0),
        variance: row(&values, 3, 1),
        batches: row(&values, 3, 2).into_iter().map(f32::to_bits).collect(),
    })
}

async fn read_saved(tensor: &Tensor) -> Result<SavedStatistics, Error> {
    let values = tensor.read().await?;
    Ok(SavedStatistics {
        pivot: row(&values, 5, 0),
        offset: row(&values, 5, 1),
        inv_std: row(&values, 5, 2),
        batch_mean: row(&values, 5, 3),
        batch_var: row(&values, 5, 4),
    })
}
