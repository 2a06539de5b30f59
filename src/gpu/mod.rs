//! A device that the library opens, for programs that do not bring one.

mod late;
mod work;

use std::sync::{Arc, OnceLock};

use crate::context::Context;
#[cfg(feature = "tuning")]
use crate::error::TuningError;
use crate::error::{BindError, DeviceError, RunError};
#[cfg(feature = "internals")]
use crate::plan::Tuning;
#[cfg(feature = "tuning")]
use crate::tuning::TuningFile;
use late::Late;

/// Which adapter to take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Adapter {
    /// The one wgpu ranks highest; a software adapter where there is no other.
    #[default]
    Best,
    /// The first whose name contains this, upper and lower case alike.
    Named(String),
}

/// A device with its queue and [`Context`]; cheap to clone.
///
/// Adapters come from wgpu's primary backends (Vulkan, Metal, D3D12, WebGPU) unless the
/// environment variable `WGPU_BACKEND` names others.
#[derive(Clone, Debug)]
pub struct Gpu {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    info: wgpu::AdapterInfo,
    device: wgpu::Device,
    queue: wgpu::Queue,
    context: Context,
    late: Late,
    canary: OnceLock<wgpu::ComputePipeline>,
}

/// Every adapter there is on the backends in use.
pub async fn adapters() -> Vec<wgpu::Adapter> {
    let backends = backends();
    instance().enumerate_adapters(backends).await
}

/// Blocking twin of [`adapters`].
#[cfg(feature = "blocking")]
pub fn adapters_blocking() -> Vec<wgpu::Adapter> {
    pollster::block_on(adapters())
}

fn backends() -> wgpu::Backends {
    wgpu::Backends::from_env().unwrap_or(wgpu::Backends::PRIMARY)
}

/// One for the process, so that wgpu can tell its devices apart.
fn instance() -> &'static wgpu::Instance {
    static INSTANCE: OnceLock<wgpu::Instance> = OnceLock::new();
    // The GL backend is left out unless asked for: merely looking for it makes drivers print.
    INSTANCE.get_or_init(|| {
        wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends: backends(),
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        })
    })
}

/// What kernels and measurements can make use of and do not need.
pub const USEFUL: [(wgpu::Features, &str); 4] = [
    (wgpu::Features::SUBGROUP, "subgroups"),
    (wgpu::Features::SHADER_F16, "shader_f16"),
    (wgpu::Features::TIMESTAMP_QUERY, "timestamps"),
    (wgpu::Features::PIPELINE_CACHE, "pipeline_cache"),
];

/// What [`Gpu::open`] asks an adapter for: what is [`USEFUL`] of its features, and its own limits for buffers
/// and workgroups.
pub fn device_request(adapter: &wgpu::Adapter) -> wgpu::DeviceDescriptor<'static> {
    let useful = USEFUL.iter().map(|&(feature, _)| feature);
    let useful = useful.fold(wgpu::Features::empty(), wgpu::Features::union);
    let offered = adapter.limits();
    wgpu::DeviceDescriptor {
        label: Some("wgpu-batchnorm"),
        required_features: adapter.features() & useful,
        required_limits: wgpu::Limits {
            max_buffer_size: offered.max_buffer_size,
            max_storage_buffer_binding_size: offered.max_storage_buffer_binding_size,
            max_compute_invocations_per_workgroup: offered.max_compute_invocations_per_workgroup,
            max_compute_workgroup_size_x: offered.max_compute_workgroup_size_x,
            max_compute_workgroup_storage_size: offered.max_compute_workgroup_storage_size,
            ..wgpu::Limits::default()
        },
        ..Default::default()
    }
}

impl Gpu {
    /// Opens an adapter with its own limits for buffers and workgroups, and WebGPU's defaults for the rest. Where
    /// the adapter has them, the device gets subgroups, `SHADER_F16`, timestamps and a pipeline cache. Runs
    /// [`Context::calibrate`] on it.
    ///
    /// # Errors
    /// [`DeviceError`]: no adapter, none of that name, one that gives no device or is below
    /// WebGPU's default limits.
    pub async fn new(adapter: &Adapter) -> Result<Self, DeviceError> {
        let adapter = match adapter {
            Adapter::Best => {
                let options = wgpu::RequestAdapterOptions {
                    power_preference: wgpu::PowerPreference::HighPerformance,
                    ..Default::default()
                };
                let adapter = instance().request_adapter(&options).await;
                adapter.map_err(|_| DeviceError::NoAdapter)?
            }
            Adapter::Named(name) => {
                let adapters = adapters().await;
                let names: Vec<_> = adapters.iter().map(|a| a.get_info().name).collect();
                let wanted = name.to_lowercase();
                let named = |a: &wgpu::Adapter| a.get_info().name.to_lowercase().contains(&wanted);
                let found = adapters.into_iter().find(named);
                found.ok_or_else(|| DeviceError::NoAdapterNamed {
                    name: name.clone(),
                    found: names,
                })?
            }
        };
        Self::open(&adapter).await
    }

    /// Opens this adapter.
    ///
    /// # Errors
    /// As [`Gpu::new`].
    pub async fn open(adapter: &wgpu::Adapter) -> Result<Self, DeviceError> {
        let request = device_request(adapter);
        let info = adapter.get_info();
        let (device, queue) =
            adapter
                .request_device(&request)
                .await
                .map_err(|e| DeviceError::Request {
                    adapter: info.name.clone(),
                    reason: e.to_string(),
                })?;
        let late = Late::default();
        let uncaptured = late.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            uncaptured.keep(error.into());
        }));
        let lost = late.clone();
        device.set_device_lost_callback(move |why, message| {
            let reason = match message.is_empty() {
                true => format!("{why:?}"),
                false => message,
            };
            lost.keep(RunError::DeviceLost { reason });
        });
        let context = Context::new(&device)?;
        // Where that fails, f16 stays with integers; whatever made it fail shows when the device is used.
        let _ = context.calibrate(&queue).await;
        Ok(Self::assemble(device, queue, context, late))
    }

    /// Takes the caller's own device, whose error handlers stay the caller's. Tensors and layers of one
    /// device go together, whichever `Gpu` they were made with. Kernels of f16 are faster after
    /// [`Context::calibrate`], which this call leaves to the caller, since it submits and waits.
    ///
    /// `queue` must be the queue that came with `device`. wgpu does not tell whether it is: it reports what is wrong
    /// with another device's queue to that device's error handler, and not to this library.
    ///
    /// # Errors
    /// A device below WebGPU's default limits.
    pub fn with_device(device: wgpu::Device, queue: wgpu::Queue) -> Result<Self, DeviceError> {
        let context = Context::new(&device)?;
        Ok(Self::assemble(device, queue, context, Late::default()))
    }

    /// The same device, its work planned with these sizes: for measurements and tests.
    ///
    /// # Errors
    /// Sizes that fit together badly or are beyond the device's limits.
    #[cfg(feature = "internals")]
    pub fn with_tuning(&self, tuning: Tuning) -> Result<Self, DeviceError> {
        let shared = &self.shared;
        let context = Context::with_tuning(&shared.device, tuning)?;
        context.trust_f16(shared.context.f16_proved());
        let (device, queue) = (shared.device.clone(), shared.queue.clone());
        Ok(Self::assemble(device, queue, context, shared.late.clone()))
    }

    /// The same device, its work planned with the sizes of a tuning file. Kernels of f16 go by what this `Gpu`
    /// found, whatever the file says.
    ///
    /// # Errors
    /// As [`Context::with_tuning_file`].
    #[cfg(feature = "tuning")]
    pub fn with_tuning_file(&self, file: &TuningFile) -> Result<Self, TuningError> {
        let shared = &self.shared;
        let context = Context::with_tuning_file(&shared.device, file)?;
        context.trust_f16(shared.context.f16_proved());
        let (device, queue) = (shared.device.clone(), shared.queue.clone());
        Ok(Self::assemble(device, queue, context, shared.late.clone()))
    }

    fn assemble(device: wgpu::Device, queue: wgpu::Queue, context: Context, late: Late) -> Self {
        Self {
            shared: Arc::new(Shared {
                info: device.adapter_info(),
                context,
                device,
                queue,
                late,
                canary: OnceLock::new(),
            }),
        }
    }

    /// The adapter's name, backend and driver.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.shared.info
    }

    /// The device.
    pub fn device(&self) -> &wgpu::Device {
        &self.shared.device
    }

    /// Its queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.shared.queue
    }

    /// The pipelines of this device, for the recording layer.
    pub fn context(&self) -> &Context {
        &self.shared.context
    }

    /// Refuses a tensor of another device.
    pub(crate) fn owns(&self, name: &'static str, tensor: &Self) -> Result<(), BindError> {
        match self.device() == tensor.device() {
            true => Ok(()),
            false => Err(BindError::OtherDevice { tensor: name }),
        }
    }

    /// Hands errors that come late, after the call that caused them has returned, to `listener`, with the
    /// name of the operation that was submitted last. Such an error then fails no later read. A lost device
    /// still fails every read.
    ///
    /// `listener` runs on whichever thread wgpu reports on and replaces the one before. Errors that a call can
    /// know at once are that call's own and do not come here. On a device that [`Gpu::with_device`] took, what
    /// is reported outside of any call goes to the caller's own handlers.
    pub fn on_error(&self, listener: impl Fn(&'static str, &RunError) + Send + Sync + 'static) {
        self.shared.late.listen(Arc::new(listener));
    }
}

#[cfg(feature = "blocking")]
impl Gpu {
    /// Blocking twin of [`Gpu::new`].
    ///
    /// # Errors
    /// As [`Gpu::new`].
    pub fn new_blocking(adapter: &Adapter) -> Result<Self, DeviceError> {
        pollster::block_on(Self::new(adapter))
    }

    /// Blocking twin of [`Gpu::open`].
    ///
    /// # Errors
    /// As there.
    pub fn open_blocking(adapter: &wgpu::Adapter) -> Result<Self, DeviceError> {
        pollster::block_on(Self::open(adapter))
    }

    /// Blocking twin of [`Gpu::check`].
    ///
    /// # Errors
    /// As there.
    pub fn check_blocking(&self) -> Result<(), RunError> {
        pollster::block_on(self.check())
    }

    /// Blocking twin of [`Gpu::probe`].
    ///
    /// # Errors
    /// As there.
    pub fn probe_blocking(&self) -> Result<(), crate::Error> {
        pollster::block_on(self.probe())
    }
}
