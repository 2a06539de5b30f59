//! The layer API: a batch norm that owns its parameters and statistics on the device.

use crate::api_error::Error;
use crate::check::{self, Check, Report};
use crate::config::{Affine, Config, Momentum};
use crate::error::{ConfigError, ShapeError};
use crate::functional::{Folded, Trained, enforce, fold_into_linear};
use crate::gpu::Gpu;
use crate::record::{BackwardBuffers, FrozenBackwardBuffers, InferenceBuffers, Plan, TrainBuffers};
use crate::shape::View;
use crate::state::LayerState;
use crate::stats::{HostGradients, Parameters, RunningStatistics, SavedStatistics};
use crate::tensor::Tensor;

/// Which statistics a forward pass normalizes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The batch's own; running statistics move.
    Train,
    /// The running ones; the batch's own where the layer keeps none, as PyTorch does.
    Eval,
}

/// A batch normalization layer.
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
    workspace: Option<wgpu::Buffer>,
}

/// What a forward pass gives.
#[derive(Debug)]
pub struct Forward {
    /// The output, in the input's shape.
    pub y: Tensor,
    /// What [`BatchNorm::backward`] wants; it goes with this input alone.
    pub saved: Saved,
    /// The comparison with the reference, where the layer checks.
    pub report: Option<Report>,
}

/// What a forward pass leaves for its backward pass: the statistics it normalized with.
#[derive(Debug)]
pub struct Saved {
    shape: Vec<usize>,
    statistics: Used,
}

#[derive(Debug)]
enum Used {
    /// Rows of saved statistics, `[5][C]`.
    Batch(Tensor),
    /// A copy of the running statistics, `[3][C]`.
    Frozen(Tensor),
}

impl Saved {
    /// The batch's statistics on the host; `None` where running statistics were used.
    ///
    /// # Errors
    /// A device that was lost or reported a fault.
    pub async fn read(&self) -> Result<Option<SavedStatistics>, Error> {
        match &self.statistics {
            Used::Batch(rows) => Ok(Some(read_saved(rows).await?)),
            Used::Frozen(_) => Ok(None),
        }
    }
}

/// Gradients of one backward pass.
#[derive(Debug)]
pub struct Gradients {
    /// Gradient of the input, where it was wanted.
    pub dx: Option<Tensor>,
    /// dweight and dbias, `[2][C]`; for a parameter the layer lacks, that of a weight of 1 or a
    /// bias of 0.
    pub affine: Tensor,
    /// The comparison with the reference, where the layer checks.
    pub report: Option<Report>,
}

impl Gradients {
    /// The weight's gradient on the host, `[C]`.
    ///
    /// # Errors
    /// A device that was lost or reported a fault.
    pub async fn dweight(&self) -> Result<Vec<f32>, Error> {
        Ok(row(&self.affine.read().await?, 2, 0))
    }

    /// The bias's gradient on the host, `[C]`.
    ///
    /// # Errors
    /// A device that was lost or reported a fault.
    pub async fn dbias(&self) -> Result<Vec<f32>, Error> {
        Ok(row(&self.affine.read().await?, 2, 1))
    }
}

/// What a backward pass is to compute.
#[derive(Clone, Copy, Debug)]
pub struct BackwardRequest<'a> {
    /// Whether the input's gradient is wanted.
    pub dx: bool,
    /// Rows of dweight and dbias, `[2, C]`, to add into; fresh ones where `None`.
    pub add_into: Option<&'a Tensor>,
}

impl Default for BackwardRequest<'_> {
    fn default() -> Self {
        Self {
            dx: true,
            add_into: None,
        }
    }
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

    /// Normalizes `x`, whose channel axis is the configuration's.
    ///
    /// # Errors
    /// A shape that does not fit the layer; one value per channel where the options rule that
    /// out; a failed check, which leaves running statistics as they were; a failed device.
    pub async fn forward(&mut self, x: &Tensor, mode: Mode) -> Result<Forward, Error> {
        let plan = self.plan(x)?;
        if mode == Mode::Eval && self.running.is_some() {
            return self.infer(&plan, x).await;
        }
        self.train(&plan, x, mode).await
    }

    async fn train(&mut self, plan: &Plan, x: &Tensor, mode: Mode) -> Result<Forward, Error> {
        let view = plan.view();
        // Refused before anything is allocated or moved.
        self.config.validate_training(&view)?;
        debug_assert!(mode == Mode::Train || self.running.is_none());
        let before = match (&self.running, self.check) {
            (Some(running), Check::Report | Check::Enforce) => Some(read_running(running).await?),
            _ => None,
        };
        let y = Tensor::empty(&self.gpu, x.shape())?;
        let saved = Tensor::empty(&self.gpu, &[5, self.channels])?;
        let workspace = self.workspace(plan.workspace_bytes());
        let binding = plan.bind_train(&TrainBuffers {
            x: x.slice(),
            y: y.slice(),
            affine: self.bound_affine(),
            running: self.running.as_ref().map(Tensor::slice),
            saved: saved.slice(),
            workspace: workspace.slice(..),
        })?;
        self.gpu.submit(|_| {}, |pass| binding.encode(pass));
        let mut report = None;
        if self.check != Check::Off {
            let checked = self
                .check_train(view, x, &y, &saved, before.as_ref())
                .await?;
            let enforced = enforce(self.check, checked);
            if let (Err(_), Some(before)) = (&enforced, &before) {
                self.write_running(before)?;
            }
            report = enforced?;
        }
        if self.running.is_some() {
            self.num_batches_tracked += 1;
        }
        Ok(Forward {
            y,
            saved: Saved {
                shape: x.shape().to_vec(),
                statistics: Used::Batch(saved),
            },
            report,
        })
    }

    async fn infer(&mut self, plan: &Plan, x: &Tensor) -> Result<Forward, Error> {
        let running = self
            .running
            .as_ref()
            .ok_or(ConfigError::NoRunningStatistics)?;
        let y = Tensor::empty(&self.gpu, x.shape())?;
        let binding = plan.bind_inference(&InferenceBuffers {
            x: x.slice(),
            y: y.slice(),
            affine: self.bound_affine(),
            running: running.slice(),
        })?;
        // Backward wants the statistics as they are now, whatever training does meanwhile.
        let frozen = Tensor::empty(&self.gpu, running.shape())?;
        let bytes = running.buffer().size();
        self.gpu.submit(
            |encoder| {
                encoder.copy_buffer_to_buffer(running.buffer(), 0, frozen.buffer(), 0, bytes);
            },
            |pass| binding.encode(pass),
        );
        let mut report = None;
        if self.check != Check::Off {
            let statistics = read_running(&frozen).await?;
            let host = self.host_input(plan.view(), x).await?;
            let (mean, variance) = (&statistics.mean, &statistics.variance);
            let checked = check::inference(&host.input(), mean, variance, &y.read().await?);
            report = enforce(self.check, checked)?;
        }
        Ok(Forward {
            y,
            saved: Saved {
                shape: x.shape().to_vec(),
                statistics: Used::Frozen(frozen),
            },
            report,
        })
    }

    /// Gradients of the forward pass on `x` that gave `saved`, with upstream gradient `dy`:
    /// through batch statistics after [`Mode::Train`], through frozen ones after [`Mode::Eval`].
    ///
    /// # Errors
    /// Shapes that do not fit `saved`; a failed check; a failed device.
    pub async fn backward(
        &mut self,
        x: &Tensor,
        dy: &Tensor,
        saved: Saved,
    ) -> Result<Gradients, Error> {
        self.backward_with(x, dy, saved, BackwardRequest::default())
            .await
    }

    /// [`BatchNorm::backward`], without `dx` or adding into given gradients.
    ///
    /// # Errors
    /// As [`BatchNorm::backward`].
    pub async fn backward_with(
        &mut self,
        x: &Tensor,
        dy: &Tensor,
        saved: Saved,
        request: BackwardRequest<'_>,
    ) -> Result<Gradients, Error> {
        same_shape("x", x.shape(), &saved.shape)?;
        same_shape("dy", dy.shape(), &saved.shape)?;
        let plan = self.plan(x)?;
        let dx = match request.dx {
            true => Some(Tensor::empty(&self.gpu, x.shape())?),
            false => None,
        };
        let grads = match request.add_into {
            Some(grads) => {
                same_shape("gradients", grads.shape(), &[2, self.channels])?;
                grads.clone()
            }
            None => Tensor::empty(&self.gpu, &[2, self.channels])?,
        };
        let before = match (request.add_into, self.check) {
            (Some(grads), Check::Report | Check::Enforce) => Some(grads.read().await?),
            _ => None,
        };
        let accumulate = request.add_into.is_some();
        let workspace = self.workspace(plan.workspace_bytes());
        let binding = match &saved.statistics {
            Used::Batch(saved) => plan.bind_backward(&BackwardBuffers {
                x: x.slice(),
                dy: dy.slice(),
                dx: dx.as_ref().map(Tensor::slice),
                affine: self.bound_affine(),
                saved: saved.slice(),
                grads: Some(grads.slice()),
                accumulate,
                workspace: workspace.slice(..),
            })?,
            Used::Frozen(running) => plan.bind_backward_frozen(&FrozenBackwardBuffers {
                x: x.slice(),
                dy: dy.slice(),
                dx: dx.as_ref().map(Tensor::slice),
                affine: self.bound_affine(),
                running: running.slice(),
                grads: Some(grads.slice()),
                accumulate,
                workspace: workspace.slice(..),
            })?,
        };
        self.gpu.submit(|_| {}, |pass| binding.encode(pass));
        let mut gradients = Gradients {
            dx,
            affine: grads,
            report: None,
        };
        if self.check != Check::Off {
            let checked = self
                .check_backward(plan.view(), x, dy, &saved, &gradients, before.as_deref())
                .await?;
            gradients.report = enforce(self.check, checked)?;
        }
        Ok(gradients)
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
        let plan = self.gpu.context().plan(&self.config, x.shape())?;
        if plan.view().channels == self.channels {
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

    fn bound_affine(&self) -> Option<wgpu::BufferSlice<'_>> {
        (self.config.affine != Affine::None).then(|| self.affine.slice())
    }

    /// Scratch of at least `bytes`, kept between calls: the queue runs them in order.
    fn workspace(&mut self, bytes: u64) -> wgpu::Buffer {
        match &self.workspace {
            Some(workspace) if workspace.size() >= bytes => workspace.clone(),
            _ => {
                let workspace = self.gpu.storage("wgpu-batchnorm workspace", bytes);
                self.workspace.insert(workspace).clone()
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

    async fn host_input(&self, view: View, x: &Tensor) -> Result<HostInput, Error> {
        let affine = self.affine.read().await?;
        let has = self.config.affine;
        Ok(HostInput {
            view,
            x: x.read().await?,
            weight: has.has_weight().then(|| row(&affine, 2, 0)),
            bias: has.has_bias().then(|| row(&affine, 2, 1)),
            eps: self.config.eps,
        })
    }

    async fn check_train(
        &self,
        view: View,
        x: &Tensor,
        y: &Tensor,
        saved: &Tensor,
        before: Option<&RunningStatistics>,
    ) -> Result<Report, Error> {
        let host = self.host_input(view, x).await?;
        let after = match &self.running {
            Some(running) => Some(read_running(running).await?),
            None => None,
        };
        let moved = before.zip(after.as_ref()).zip(self.config.running);
        let result = check::TrainResult {
            y: &y.read().await?,
            saved: &read_saved(saved).await?,
            running: moved.map(|((before, after), running)| (before, after, running)),
        };
        Ok(check::train_forward(&host.input(), &result))
    }

    async fn check_backward(
        &self,
        view: View,
        x: &Tensor,
        dy: &Tensor,
        saved: &Saved,
        gradients: &Gradients,
        before: Option<&[f32]>,
    ) -> Result<Report, Error> {
        let host = self.host_input(view, x).await?;
        let dy = dy.read().await?;
        let result = HostGradients {
            dx: match &gradients.dx {
                Some(dx) => dx.read().await?,
                None => vec![],
            },
            dweight: gradients.dweight().await?,
            dbias: gradients.dbias().await?,
        };
        let before = before.map(|rows| rows.split_at(self.channels));
        Ok(match &saved.statistics {
            Used::Batch(_) => check::backward(&host.input(), &dy, &result, before),
            Used::Frozen(running) => {
                let RunningStatistics { mean, variance, .. } = read_running(running).await?;
                check::backward_frozen(&host.input(), &dy, &mean, &variance, &result, before)
            }
        })
    }
}

/// A forward's inputs, read back for a check.
struct HostInput {
    view: View,
    x: Vec<f32>,
    weight: Option<Vec<f32>>,
    bias: Option<Vec<f32>>,
    eps: f32,
}

impl HostInput {
    fn input(&self) -> check::Input<'_> {
        check::Input {
            view: self.view,
            x: &self.x,
            parameters: Parameters {
                weight: self.weight.as_deref(),
                bias: self.bias.as_deref(),
            },
            eps: self.eps,
        }
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

fn same_shape(tensor: &'static str, got: &[usize], expected: &[usize]) -> Result<(), ShapeError> {
    if got == expected {
        return Ok(());
    }
    Err(ShapeError::Mismatch {
        tensor,
        got: got.to_vec(),
        expected: expected.to_vec(),
    })
}

/// safetensors and blocking twins.
mod twins {
    #[allow(unused_imports, reason = "each is used by a feature")]
    use super::{
        BackwardRequest, BatchNorm, Config, Error, Forward, Gpu, Gradients, LayerState, Mode,
        Saved, Tensor,
    };

    #[cfg(feature = "state")]
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
            Self::with_state(gpu, config, channels, &state)
        }

        /// The layer's state as a safetensors file under PyTorch's names.
        ///
        /// # Errors
        /// A device that was lost or reported a fault.
        pub async fn to_safetensors(&self, prefix: &str) -> Result<Vec<u8>, Error> {
            Ok(self.state().await?.to_safetensors(prefix)?)
        }
    }

    #[cfg(feature = "blocking")]
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
}
