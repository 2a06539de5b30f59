//! The device that does the work: an adapter or the CPU path, behind one set of calls.

use std::time::{Duration, Instant};

use wgpu_batchnorm::error::DeviceError;
use wgpu_batchnorm::{
    Adapter, BatchNorm, Check, Config, Element, Gpu, HostGradients, LayerState, Mode, Moments,
    Parameters, RunningStatistics, SavedStatistics, Tensor, View, cpu, functional,
};

use crate::failure::Failure;
use crate::stored::{Stored, rounded, widened};

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
    pub x: Stored<'a>,
}

/// Results of a forward pass.
#[derive(Debug)]
pub struct ForwardResult {
    /// What `stored` holds, in f32: what is judged.
    pub y: Vec<f32>,
    /// `y` as `x` is stored: what is written.
    pub stored: Vec<u8>,
    /// In training.
    pub saved: Option<SavedStatistics>,
    /// In training: what running statistics became.
    pub running: Option<RunningStatistics>,
    pub time: Duration,
}

/// Results of a backward pass.
#[derive(Debug)]
pub struct BackwardResult {
    /// `dx` is what `stored` holds, in f32: what is judged.
    pub gradients: HostGradients,
    /// `dx` as `x` is stored: what is written.
    pub stored: Vec<u8>,
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
    /// Opens what `--device` names.
    pub fn open(device: &str) -> Result<Self, Failure> {
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

    /// The storage that the kernels run with for a tensor of `element`. The CPU path has kernels for
    /// f32 alone: it widens halves, which is exact, and rounds `y` and `dx` once.
    pub fn element(&self, element: Element) -> Element {
        match self {
            Self::Gpu(_) => element,
            Self::Cpu { .. } => Element::F32,
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
        dy: Stored<'_>,
        mode: Mode,
    ) -> Result<BackwardResult, Failure> {
        match self {
            Self::Gpu(gpu) => gpu_backward(gpu, job, dy, mode),
            Self::Cpu { .. } => cpu_backward(job, dy.values, mode),
        }
    }

    /// Moments of `x` over `axes`, the shape of mean and variance, and the time they took.
    pub fn moments(
        &self,
        shape: &[usize],
        x: Stored<'_>,
        axes: &[isize],
        keep_dims: bool,
    ) -> Result<(Moments, Vec<usize>, Duration), Failure> {
        match self {
            Self::Gpu(gpu) => {
                let x = upload(gpu, shape, x)?;
                wait(gpu);
                let start = Instant::now();
                let moments = functional::blocking::moments(&x, axes, keep_dims, Check::Off)?;
                wait(gpu);
                let time = start.elapsed();
                Ok((moments.read_blocking()?, moments.shape(), time))
            }
            Self::Cpu { .. } => {
                let start = Instant::now();
                let (moments, shape) = functional::cpu_moments(x.values, shape, axes, keep_dims)?;
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

/// As it is stored.
fn upload(gpu: &Gpu, shape: &[usize], tensor: Stored<'_>) -> Result<Tensor, Failure> {
    let uploaded = Tensor::upload_bytes(gpu, shape, tensor.element, tensor.bytes);
    uploaded.map_err(Failure::from)
}

/// As it is stored, and widened.
fn read(tensor: &Tensor) -> Result<(Vec<u8>, Vec<f32>), Failure> {
    let bytes = tensor.read_bytes_blocking()?;
    let values = widened(tensor.element(), &bytes);
    Ok((bytes, values))
}

fn layer(gpu: &Gpu, job: &Job<'_>) -> Result<(BatchNorm, Tensor), Failure> {
    let layer = BatchNorm::with_state(gpu, job.config, job.view.channels, job.state)?;
    let x = upload(gpu, job.shape, job.x)?;
    wait(gpu);
    Ok((layer, x))
}

fn gpu_forward(gpu: &Gpu, job: &Job<'_>, mode: Mode) -> Result<ForwardResult, Failure> {
    let (mut layer, x) = layer(gpu, job)?;
    let start = Instant::now();
    let forward = layer.forward_blocking(&x, mode)?;
    wait(gpu);
    let time = start.elapsed();
    let (stored, y) = read(&forward.y)?;
    let mut result = ForwardResult {
        y,
        stored,
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
    dy: Stored<'_>,
    mode: Mode,
) -> Result<BackwardResult, Failure> {
    let (mut layer, x) = layer(gpu, job)?;
    let dy = upload(gpu, job.shape, dy)?;
    let forward = layer.forward_blocking(&x, mode)?;
    wait(gpu);
    let start = Instant::now();
    let gradients = layer.backward_blocking(&x, &dy, forward.saved)?;
    wait(gpu);
    let time = start.elapsed();
    let (stored, dx) = match &gradients.dx {
        Some(dx) => read(dx)?,
        None => (vec![], vec![]),
    };
    Ok(BackwardResult {
        gradients: HostGradients {
            dx,
            dweight: gradients.dweight_blocking()?,
            dbias: gradients.dbias_blocking()?,
        },
        stored,
        time,
    })
}

/// Rounds to `element` what the CPU path computed in f32: as it is stored, and widened again.
fn narrowed(element: Element, values: Vec<f32>) -> (Vec<u8>, Vec<f32>) {
    let stored = rounded(element, &values);
    match element {
        Element::F32 => (stored, values),
        Element::F16 | Element::Bf16 => {
            let values = widened(element, &stored);
            (stored, values)
        }
    }
}

fn cpu_forward(job: &Job<'_>, mode: Mode) -> Result<ForwardResult, Failure> {
    let Job { config, view, .. } = *job;
    let Stored {
        element, values: x, ..
    } = job.x;
    let mut y = vec![0.0; x.len()];
    let parameters = job.parameters();
    if mode == Mode::Eval {
        let running = job.running()?;
        let (mean, variance) = (&running.mean, &running.variance);
        let start = Instant::now();
        cpu::inference(&view, x, parameters, mean, variance, config.eps, &mut y);
        let time = start.elapsed();
        let (stored, y) = narrowed(element, y);
        return Ok(ForwardResult {
            y,
            stored,
            saved: None,
            running: None,
            time,
        });
    }
    config.validate_training(&view)?;
    let mut running = job.state.running.clone();
    let start = Instant::now();
    let moving = running.as_mut().zip(config.running);
    let saved = cpu::train_forward(&view, x, parameters, config.eps, moving, &mut y);
    let time = start.elapsed();
    let (stored, y) = narrowed(element, y);
    Ok(ForwardResult {
        y,
        stored,
        saved: Some(saved),
        running,
        time,
    })
}

fn cpu_backward(job: &Job<'_>, dy: &[f32], mode: Mode) -> Result<BackwardResult, Failure> {
    let Job { config, view, .. } = *job;
    let Stored {
        element, values: x, ..
    } = job.x;
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
    let (stored, dx) = narrowed(element, dx);
    Ok(BackwardResult {
        gradients: HostGradients { dx, dweight, dbias },
        stored,
        time,
    })
}
