//! A device of one's own, for those who do not bring one.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::canary::{self, Canary};
use crate::context::Context;
use crate::error::Error;
use crate::error::{BindError, DeviceError, RunError};
use crate::faults::{cause, is_lost, watched};
#[cfg(feature = "internals")]
use crate::plan::Tuning;

/// Which adapter to take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    faults: Faults,
    canary: OnceLock<wgpu::ComputePipeline>,
}

/// What the device reported outside of any call: kept until the next readback asks.
#[derive(Clone, Debug, Default)]
struct Faults(Arc<Mutex<Option<RunError>>>);

impl Faults {
    fn keep(&self, fault: RunError) {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A loss is told once, and explains whatever failed before it was.
        let lost = |fault: &RunError| matches!(fault, RunError::DeviceLost { .. });
        if first.is_none() || lost(&fault) && !first.as_ref().is_some_and(lost) {
            *first = Some(fault);
        }
    }

    fn take(&self) -> Option<RunError> {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*first {
            // A lost device stays lost.
            lost @ Some(RunError::DeviceLost { .. }) => lost.clone(),
            _ => first.take(),
        }
    }
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

impl Gpu {
    /// Opens an adapter with its own limits for buffers, and WebGPU's defaults for the rest.
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
        let offered = adapter.limits();
        let limits = wgpu::Limits {
            max_buffer_size: offered.max_buffer_size,
            max_storage_buffer_binding_size: offered.max_storage_buffer_binding_size,
            ..wgpu::Limits::default()
        };
        let request = wgpu::DeviceDescriptor {
            label: Some("wgpu-batchnorm"),
            required_limits: limits,
            ..Default::default()
        };
        let info = adapter.get_info();
        let (device, queue) =
            adapter
                .request_device(&request)
                .await
                .map_err(|e| DeviceError::Request {
                    adapter: info.name.clone(),
                    reason: e.to_string(),
                })?;
        let faults = Faults::default();
        let uncaptured = faults.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            uncaptured.keep(error.into());
        }));
        let lost = faults.clone();
        device.set_device_lost_callback(move |why, message| {
            let reason = match message.is_empty() {
                true => format!("{why:?}"),
                false => message,
            };
            lost.keep(RunError::DeviceLost { reason });
        });
        let context = Context::new(&device)?;
        Ok(Self::assemble(device, queue, context, faults))
    }

    /// Takes the caller's own device, whose error handlers stay the caller's. Tensors and layers
    /// go together where they were made on clones of one `Gpu`: make one a device.
    ///
    /// # Errors
    /// A device below WebGPU's default limits.
    pub fn with_device(device: wgpu::Device, queue: wgpu::Queue) -> Result<Self, DeviceError> {
        let context = Context::new(&device)?;
        Ok(Self::assemble(device, queue, context, Faults::default()))
    }

    /// The same device, its work planned with these sizes: for measurements and tests. Tensors and
    /// layers of the two do not mix.
    ///
    /// # Errors
    /// Sizes that fit together badly or are beyond the device's limits.
    #[cfg(feature = "internals")]
    pub fn with_tuning(&self, tuning: Tuning) -> Result<Self, DeviceError> {
        let shared = &self.shared;
        let context = Context::with_tuning(&shared.device, tuning)?;
        let (device, queue) = (shared.device.clone(), shared.queue.clone());
        Ok(Self::assemble(
            device,
            queue,
            context,
            shared.faults.clone(),
        ))
    }

    fn assemble(
        device: wgpu::Device,
        queue: wgpu::Queue,
        context: Context,
        faults: Faults,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                info: device.adapter_info(),
                context,
                device,
                queue,
                faults,
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
        match Arc::ptr_eq(&self.shared, &tensor.shared) {
            true => Ok(()),
            false => Err(BindError::OtherDevice { tensor: name }),
        }
    }

    /// A zeroed storage buffer.
    pub(crate) fn storage(&self, label: &str, bytes: u64) -> Result<wgpu::Buffer, RunError> {
        let usage = wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_SRC
            | wgpu::BufferUsages::COPY_DST;
        self.buffer(label, bytes, usage)
    }

    fn buffer(
        &self,
        label: &str,
        bytes: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer, RunError> {
        let (buffer, error) = watched(self.device(), || {
            self.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: bytes,
                usage,
                mapped_at_creation: false,
            })
        });
        match error {
            Some(wgpu::Error::OutOfMemory { .. }) => Err(RunError::OutOfMemory {
                reason: format!("no room for a buffer of {bytes} bytes"),
            }),
            Some(error) => Err(cause(self.device(), error)),
            None => Ok(buffer),
        }
    }

    /// Does `work`; what wgpu reports of it is kept until the next readback asks.
    pub(crate) fn watch<T>(&self, work: impl FnOnce() -> T) -> T {
        let (done, error) = watched(self.device(), work);
        if let Some(error) = error {
            self.shared.faults.keep(cause(self.device(), error));
        }
        done
    }

    /// Submits what `record` puts into one compute pass, after `before` recorded its copies, and a canary
    /// in a command buffer of its own where there is one.
    pub(crate) fn submit(
        &self,
        before: impl FnOnce(&mut wgpu::CommandEncoder),
        record: impl FnOnce(&mut wgpu::ComputePass<'_>),
        canary: Option<&Canary>,
    ) {
        self.watch(|| {
            let encoder = || self.device().create_command_encoder(&Default::default());
            let mut work = encoder();
            before(&mut work);
            record(&mut work.begin_compute_pass(&Default::default()));
            let last = canary.map(|canary| {
                let mut encoder = encoder();
                canary.encode(&mut encoder.begin_compute_pass(&Default::default()));
                encoder.finish()
            });
            self.queue().submit([work.finish()].into_iter().chain(last));
        });
    }

    /// Compiled when first asked for, and kept.
    pub(crate) fn canary_pipeline(&self) -> Result<wgpu::ComputePipeline, BindError> {
        if let Some(pipeline) = self.shared.canary.get() {
            return Ok(pipeline.clone());
        }
        let pipeline = canary::pipeline(self.device())?;
        Ok(self.shared.canary.get_or_init(|| pipeline).clone())
    }

    /// Runs a small kernel, and returns an error if its result is missing: some drivers accept work and
    /// execute nothing.
    ///
    /// # Errors
    /// [`RunError::NothingRan`]; a device that was lost, that has no memory left, or that does not
    /// compile the kernel.
    pub async fn probe(&self) -> Result<(), Error> {
        let canary = Canary::new(self)?;
        self.submit(|_| {}, |_| {}, Some(&canary));
        match canary.finding().await? {
            None => Ok(()),
            Some(_) => Err(RunError::NothingRan.into()),
        }
    }

    /// Copies a buffer to the host.
    ///
    /// On native targets this waits for the device on the calling thread; in browsers it yields.
    pub(crate) async fn read<T: bytemuck::Pod>(
        &self,
        buffer: &wgpu::Buffer,
    ) -> Result<Vec<T>, RunError> {
        let bytes = buffer.size();
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let staging = self.buffer("wgpu-batchnorm readback", bytes, usage)?;
        self.submit(
            |encoder| encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, bytes),
            |_| {},
            None,
        );
        let (sender, receiver) = futures_intrusive::channel::shared::oneshot_channel();
        let map = || {
            let told = move |result| {
                // The receiver is gone where the caller dropped the future.
                let _ = sender.send(result);
            };
            staging.slice(..).map_async(wgpu::MapMode::Read, told);
        };
        self.watch(map);
        #[cfg(not(target_arch = "wasm32"))]
        let polled = self.device().poll(wgpu::PollType::wait_indefinitely());
        #[cfg(target_arch = "wasm32")]
        let polled: Result<(), wgpu::PollError> = Ok(());
        self.fault()?;
        let failed = |reason: String| match is_lost(self.device()) {
            true => RunError::DeviceLost { reason },
            false => RunError::Readback { bytes, reason },
        };
        polled.map_err(|e| failed(e.to_string()))?;
        match receiver.receive().await {
            Some(Ok(())) => {}
            Some(Err(e)) => return Err(failed(e.to_string())),
            None => return Err(failed("the mapping was abandoned".to_owned())),
        }
        let view = staging.slice(..).get_mapped_range();
        let view = view.map_err(|e| failed(e.to_string()))?;
        Ok(bytemuck::pod_collect_to_vec(&view))
    }

    /// What the device reported since the last call.
    fn fault(&self) -> Result<(), RunError> {
        self.shared.faults.take().map_or(Ok(()), Err)
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

    /// Blocking twin of [`Gpu::probe`].
    ///
    /// # Errors
    /// As there.
    pub fn probe_blocking(&self) -> Result<(), Error> {
        pollster::block_on(self.probe())
    }
}
