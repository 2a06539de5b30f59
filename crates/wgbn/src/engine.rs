//! The device that does the work: an adapter or the CPU path, behind one set of calls.

mod on_cpu;
pub mod on_gpu;

use std::path::Path;
use std::time::Duration;

use wgpu_batchnorm::check::Report;
use wgpu_batchnorm::error::DeviceError;
use wgpu_batchnorm::{
    Adapter, Config, Element, Gpu, HostGradients, LayerState, Mode, Moments, Parameters,
    RunningStatistics, SavedStatistics, View, Weights,
};

use crate::failure::Failure;
use crate::stored::Stored;
use crate::tuning;
use testkit::weights::HostWeights;

/// What computes, as `--device` chose it.
pub enum EngineChoice {
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
    /// In the shape of x and stored as it.
    pub residual: Option<Stored<'a>>,
    pub weights: Option<&'a HostWeights>,
    /// Whether training leaves running statistics as they are.
    pub keep_running: bool,
    /// Whether results are compared with the reference.
    pub check: bool,
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
    /// In training that moves them: what running statistics became.
    pub running: Option<RunningStatistics>,
    /// Where the job says to check.
    pub report: Option<Report>,
    pub time: Duration,
}

/// Results of a backward pass.
#[derive(Debug)]
pub struct BackwardResult {
    /// `dx` is what `stored` holds, in f32: what is judged.
    pub gradients: HostGradients,
    /// `dx` as `x` is stored: what is written.
    pub stored: Vec<u8>,
    /// `dresidual`, stored so, where there is a residual.
    pub dresidual: Option<Vec<u8>>,
    /// Where the job says to check.
    pub report: Option<Report>,
    pub time: Duration,
}

/// Moments of a tensor.
#[derive(Debug)]
pub struct MomentsResult {
    pub mean: Vec<f32>,
    pub variance: Vec<f32>,
    /// The shape of both.
    pub shape: Vec<usize>,
    /// Where one was asked for.
    pub report: Option<Report>,
    pub time: Duration,
}

impl Job<'_> {
    pub fn parameters(&self) -> Parameters<'_> {
        Parameters::default()
            .with_weight(self.state.weight.as_deref())
            .with_bias(self.state.bias.as_deref())
    }

    /// The weights, as the library takes them on the host.
    fn weights(&self) -> Result<Option<Weights<'_>>, Failure> {
        let weights = self.weights;
        let host = weights.map(|weights| weights.of(self.shape, self.config.axis));
        Ok(host.transpose()?)
    }

    fn running(&self) -> Result<&RunningStatistics, Failure> {
        let running = self.state.running.as_ref();
        running.ok_or_else(|| Failure::Input("there are no running statistics".to_owned()))
    }
}

impl EngineChoice {
    /// Opens what `--device` names, with the sizes of the tuning file, where one is given.
    pub fn open(device: &str, tuning: Option<&Path>) -> Result<Self, Failure> {
        match Self::chosen(device)? {
            Self::Gpu(gpu) => Ok(Self::Gpu(tuning::apply(gpu, tuning)?)),
            cpu @ Self::Cpu { .. } => {
                tuning::without_adapter(tuning)?;
                Ok(cpu)
            }
        }
    }

    fn chosen(device: &str) -> Result<Self, Failure> {
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

    /// Sees an adapter run a kernel: some drivers accept work and execute none of it. A check notices that
    /// by itself; without one this has to.
    pub fn probe(&self) -> Result<(), Failure> {
        match self {
            Self::Gpu(gpu) => Ok(gpu.probe_blocking()?),
            Self::Cpu { .. } => Ok(()),
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
                let tuned = match gpu.context().tuned_on() {
                    Some(made) => format!(", tuned {made}"),
                    None => String::new(),
                };
                format!("{} ({}{kind}{tuned})", info.name, info.backend)
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
            Self::Gpu(gpu) => on_gpu::forward(gpu, job, mode),
            Self::Cpu { .. } => on_cpu::forward(job, mode),
        }
    }

    pub fn backward(
        &self,
        job: &Job<'_>,
        dy: Stored<'_>,
        mode: Mode,
    ) -> Result<BackwardResult, Failure> {
        match self {
            Self::Gpu(gpu) => on_gpu::backward(gpu, job, dy, mode),
            Self::Cpu { .. } => on_cpu::backward(job, dy.values, mode),
        }
    }

    /// Moments of `x` over `axes`.
    pub fn moments(
        &self,
        (shape, x): (&[usize], Stored<'_>),
        weights: Option<&HostWeights>,
        axes: &[isize],
        keep_dims: bool,
        check: bool,
    ) -> Result<MomentsResult, Failure> {
        let input = (shape, x);
        match self {
            Self::Gpu(gpu) => on_gpu::moments(gpu, input, weights, axes, keep_dims, check),
            Self::Cpu { .. } => on_cpu::moments(input, weights, axes, keep_dims, check),
        }
    }
}

/// Mean and variance as f32.
fn rounded(moments: &Moments) -> [Vec<f32>; 2] {
    let round = |v: Vec<f64>| v.into_iter().map(|v| v as f32).collect();
    [round(moments.mean()), round(moments.variance())]
}
