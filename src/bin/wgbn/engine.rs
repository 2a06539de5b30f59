//! The device that does the work: an adapter or the CPU path, behind one set of calls.

use std::time::{Duration, Instant};

use wgpu_batchnorm::error::DeviceError;
use wgpu_batchnorm::{
    Adapter, BatchNorm, Check, Config, Gpu, HostGradients, LayerState, Mode, Moments, Parameters,
    RunningStatistics, SavedStatistics, Tensor, View, cpu, functional,
};

use crate::failure::Failure;

/// What computes.
pub enum Engine {
    Gpu(Gpu),
    Cpu {
        /// Said where `auto` found no adapter.
        note: Option<String>,
    },
}

/// What to say where there is no adapter.
pub const NO_ADAPTER: &str = "no GPU adapter was found: running on the CPU path (on Debian and Ubuntu \
     `apt-get install mesa-vulkan-drivers libvulkan1` gives a software adapter)";

/// A batch norm and its input, on the host.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    pub config: Config,
    pub shape: &'a [usize],
    pub view: View,
    pub state: &'a LayerState,
    pub x: &'a [f32],
}

/// Results of a forward pass.
#[derive(Debug)]
pub struct ForwardResult {
    pub y: Vec<f32>,
    /// In training.
    pub saved: Option<SavedStatistics>,
    /// In training: what running statistics became.
    pub running: Option<RunningStatistics>,
    pub time: Duration,
}

impl Job<'_> {
    pub fn parameters(&self) -> Parameters<'_> {
        Parameters {
            weight: self.state.weight.as_deref(),
            bias: self.state.bias.as_deref(),
        }
    }

    fn running(&self) -> Result<&RunningStatistics, Failure> {
        let running = self.state.running.as_ref();
        running.ok_or_else(|| Failure::Input("there are no running statistics".to_owned()))
    }
}

impl Engine {
    /// Opens what `--device` names, and sees an adapter run a kernel: some drivers accept work and
    /// execute none of it, and without a check nothing else would tell.
    pub fn open(device: &str) -> Result<Self, Failure> {
        let engine = Self::open_untried(device)?;
        // Tests of the checks switch this off, to see that each check fails by itself.
        if let Self::Gpu(gpu) = &engine
            && std::env::var_os("WGBN_NO_PROBE").is_none()
        {
            gpu.probe_blocking()?;
        }
        Ok(engine)
    }

    /// Opens what `--device` names.
    pub fn open_untried(device: &str) -> Result<Self, Failure> {
        let open = |adapter: &Adapter| Gpu::new_blocking(adapter).map_err(Failure::from);
        match device {
            "cpu" => Ok(Self::Cpu { note: None }),
            "gpu" => Ok(Self::Gpu(open(&Adapter::Best)?)),
            "auto" => Ok(match Gpu::new_blocking(&Adapter::Best) {
                Ok(gpu) => Self::Gpu(gpu),
                Err(DeviceError::NoAdapter) => Self::Cpu {
                    note: Some(NO_ADAPTER.to_owned()),
                },
                Err(error) => Self::Cpu {
                    note: Some(format!("{error}: running on the CPU path")),
                },
            }),
            "" => Err(Failure::Input("--device is empty".to_owned())),
            name => Ok(Self::Gpu(open(&Adapter::Named(name.to_owned()))?)),
        }
    }

    /// The adapter, or the CPU.
    pub fn name(&self) -> String {
        match self {
            Self::Gpu(gpu) => {
                let info = gpu.info();
                let kind = match info.device_type {
                    wgpu_batchnorm::wgpu::DeviceType::Cpu => ", software",
                    _ => "",
                };
                format!("{} ({}{kind})", info.name, info.backend)
            }
            Self::Cpu { .. } => "CPU path".to_owned(),
        }
    }

    /// What a single timed run holds besides the work.
    pub fn first_run(&self) -> &'static str {
        match self {
            Self::Gpu(_) => ", compiling shaders included",
            Self::Cpu { .. } => "",
        }
    }

    /// What the user should know of the choice.
    pub fn note(&self) -> Option<&str> {
        match self {
            Self::Gpu(_) => None,
            Self::Cpu { note } => note.as_deref(),
        }
    }

    pub fn forward(&self, job: &Job<'_>, mode: Mode) -> Result<ForwardResult, Failure> {
        match self {
            Self::Gpu(gpu) => gpu_forward(gpu, job, mode),
            Self::Cpu { .. } => cpu_forward(job, mode),
        }
    }

    pub fn backward(
        &self,
        job: &Job<'_>,
        dy: &[f32],
        mode: Mode,
    ) -> Result<(HostGradients, Duration), Failure> {
        match self {
            Self::Gpu(gpu) => gpu_backward(gpu, job, dy, mode),
            Self::Cpu { .. } => cpu_backward(job, dy, mode),
        }
    }

    /// Moments of `x` over `axes`, the shape of mean and variance, and the time they took.
    pub fn moments(
        &self,
        shape: &[usize],
        x: &[f32],
        axes: &[isize],
        keep_dims: bool,
    ) -> Result<(Moments, Vec<usize>, Duration), Failure> {
        match self {
            Self::Gpu(gpu) => {
                let x = Tensor::upload(gpu, shape, x)?;
                wait(gpu);
                let start = Instant::now();
                let moments = functional::blocking::moments(&x, axes, keep_dims, Check::Off)?;
                wait(gpu);
                let time = start.elapsed();
                Ok((moments.read_blocking()?, moments.shape(), time))
            }
            Self::Cpu { .. } => {
                let start = Instant::now();
                let (moments, shape) = functional::cpu_moments(x, shape, axes, keep_dims)?;
                Ok((moments, shape, start.elapsed()))
            }
        }
    }
}

/// Waits until the device is idle; a fault shows at the next readback.
fn wait(gpu: &Gpu) {
    let _ = gpu
        .device()
        .poll(wgpu_batchnorm::wgpu::PollType::wait_indefinitely());
}

fn layer(gpu: &Gpu, job: &Job<'_>) -> Result<(BatchNorm, Tensor), Failure> {
    let layer = BatchNorm::with_state(gpu, job.config, job.view.channels, job.state)?;
    let x = Tensor::upload(gpu, job.shape, job.x)?;
    wait(gpu);
    Ok((layer, x))
}

fn gpu_forward(gpu: &Gpu, job: &Job<'_>, mode: Mode) -> Result<ForwardResult, Failure> {
    let (mut layer, x) = layer(gpu, job)?;
    let start = Instant::now();
    let forward = layer.forward_blocking(&x, mode)?;
    wait(gpu);
    let time = start.elapsed();
    let mut result = ForwardResult {
        y: forward.y.read_blocking()?,
        saved: None,
        running: None,
        time,
    };
    if mode == Mode::Train {
        result.saved = forward.saved.read_blocking()?;
        result.running = layer.state_blocking()?.running;
    }
    Ok(result)
}

fn gpu_backward(
    gpu: &Gpu,
    job: &Job<'_>,
    dy: &[f32],
    mode: Mode,
) -> Result<(HostGradients, Duration), Failure> {
    let (mut layer, x) = layer(gpu, job)?;
    let dy = Tensor::upload(gpu, job.shape, dy)?;
    let forward = layer.forward_blocking(&x, mode)?;
    wait(gpu);
    let start = Instant::now();
    let gradients = layer.backward_blocking(&x, &dy, forward.saved)?;
    wait(gpu);
    let time = start.elapsed();
    let dx = match &gradients.dx {
        Some(dx) => dx.read_blocking()?,
        None => vec![],
    };
    let gradients = HostGradients {
        dx,
        dweight: gradients.dweight_blocking()?,
        dbias: gradients.dbias_blocking()?,
    };
    Ok((gradients, time))
}

fn cpu_forward(job: &Job<'_>, mode: Mode) -> Result<ForwardResult, Failure> {
    let Job {
        config, view, x, ..
    } = *job;
    let mut y = vec![0.0; x.len()];
    let parameters = job.parameters();
    if mode == Mode::Eval {
        let running = job.running()?;
        let (mean, variance) = (&running.mean, &running.variance);
        let start = Instant::now();
        cpu::inference(&view, x, parameters, mean, variance, config.eps, &mut y);
        return Ok(ForwardResult {
            y,
            saved: None,
            running: None,
            time: start.elapsed(),
        });
    }
    config.validate_training(&view)?;
    let mut running = job.state.running.clone();
    let start = Instant::now();
    let moving = running.as_mut().zip(config.running);
    let saved = cpu::train_forward(&view, x, parameters, config.eps, moving, &mut y);
    Ok(ForwardResult {
        y,
        saved: Some(saved),
        running,
        time: start.elapsed(),
    })
}

fn cpu_backward(
    job: &Job<'_>,
    dy: &[f32],
    mode: Mode,
) -> Result<(HostGradients, Duration), Failure> {
    let Job {
        config, view, x, ..
    } = *job;
    let weight = job.state.weight.as_deref();
    let mut dx = vec![0.0; x.len()];
    let (time, (dweight, dbias)) = if mode == Mode::Eval {
        let running = job.running()?;
        let (mean, variance) = (&running.mean, &running.variance);
        let start = Instant::now();
        let dx = Some(&mut dx[..]);
        let sums = cpu::backward_frozen(&view, x, dy, mean, variance, weight, config.eps, dx);
        (start.elapsed(), sums)
    } else {
        config.validate_training(&view)?;
        let mut y = vec![0.0; x.len()];
        let saved = cpu::train_forward(&view, x, job.parameters(), config.eps, None, &mut y);
        let start = Instant::now();
        let sums = cpu::backward(&view, x, dy, &saved, weight, Some(&mut dx));
        (start.elapsed(), sums)
    };
    Ok((HostGradients { dx, dweight, dbias }, time))
}
