//! The devices that are measured side by side.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use wgpu_batchnorm::error::DeviceError;
use wgpu_batchnorm::internals::device_request;
use wgpu_batchnorm::wgpu::{self, DeviceType, Features};
use wgpu_batchnorm::{Adapter, Element, Gpu, adapters_blocking};

use super::sample::Clock;
use super::stamps::Stamps;
use super::suite::Case;
use crate::engine::NO_ADAPTER;
use crate::failure::Failure;
use crate::tuning;

/// An adapter, or the CPU path.
pub enum Device {
    Gpu(GpuDevice),
    Cpu,
}

/// An adapter that is open, and its clock.
pub struct GpuDevice {
    pub gpu: Gpu,
    /// Where the adapter's own clock is used.
    pub stamps: Option<Stamps>,
    /// What the device reported outside of any call.
    fault: Arc<Mutex<Option<String>>>,
}

impl Device {
    pub fn name(&self) -> String {
        match self {
            Self::Gpu(device) => device.gpu.info().name.clone(),
            Self::Cpu => "CPU path".to_owned(),
        }
    }

    /// The CPU path computes in f32, whatever its tensors are stored as elsewhere.
    pub fn takes(&self, case: &Case) -> bool {
        matches!(self, Self::Gpu(_)) || case.element == Element::F32
    }

    pub fn kind(&self) -> &'static str {
        match self {
            Self::Gpu(device) if device.is_software() => "software",
            Self::Gpu(_) => "gpu",
            Self::Cpu => "cpu",
        }
    }
}

/// Opens each of `names`, none twice, and says what the user should know.
pub fn open(
    names: &[String],
    clock: Option<Clock>,
    tuning: Option<&Path>,
) -> Result<(Vec<Device>, Vec<String>), Failure> {
    let (mut devices, mut notes) = (Vec::new(), Vec::new());
    for name in names {
        match name.as_str() {
            "both" => {
                notes.extend(best(&mut devices, clock)?);
                devices.push(Device::Cpu);
            }
            "auto" => {
                let note = best(&mut devices, clock)?;
                if note.is_some() {
                    devices.push(Device::Cpu);
                }
                notes.extend(note);
            }
            "cpu" => devices.push(Device::Cpu),
            "" => return Err(Failure::Input("--device is empty".to_owned())),
            name => {
                let adapter = match name {
                    "gpu" => Adapter::Best,
                    name => Adapter::Named(name.to_owned()),
                };
                let gpu = Gpu::new_blocking(&adapter)?;
                devices.push(Device::Gpu(GpuDevice::new(gpu, clock)?));
            }
        }
    }
    let mut seen: Vec<String> = Vec::new();
    devices.retain(|device: &Device| {
        let new = !seen.contains(&device.name());
        seen.push(device.name());
        new
    });
    notes.extend(tune(&mut devices, tuning)?);
    Ok((devices, notes))
}

/// Gives adapters the sizes of the tuning file, where one is given, and says so.
fn tune(devices: &mut [Device], tuning: Option<&Path>) -> Result<Vec<String>, Failure> {
    let (Some(_), mut notes) = (tuning, Vec::new()) else {
        return Ok(vec![]);
    };
    for device in devices {
        if let Device::Gpu(device) = device {
            device.gpu = tuning::apply(device.gpu.clone(), tuning)?;
            let (name, made) = (&device.gpu.info().name, device.gpu.context().tuned_on());
            let made = made.unwrap_or_default();
            notes.push(format!(
                "{name} runs with the sizes of a tuning file made on {made}"
            ));
        }
    }
    if notes.is_empty() {
        tuning::without_adapter(tuning)?;
    }
    Ok(notes)
}

/// Opens the best adapter, or says that the CPU path has to do.
fn best(devices: &mut Vec<Device>, clock: Option<Clock>) -> Result<Option<String>, Failure> {
    match Gpu::new_blocking(&Adapter::Best) {
        Ok(gpu) => {
            devices.push(Device::Gpu(GpuDevice::new(gpu, clock)?));
            Ok(None)
        }
        Err(DeviceError::NoAdapter) => Ok(Some(NO_ADAPTER.to_owned())),
        Err(error) => Ok(Some(format!("{error}: running on the CPU path"))),
    }
}

impl GpuDevice {
    /// Takes the adapter of `gpu`, opened once more with its clock where that is used: on GPUs,
    /// unless `clock` says otherwise. Software adapters run on the host's clock: theirs leaves out
    /// what a submission costs there.
    fn new(gpu: Gpu, clock: Option<Clock>) -> Result<Self, Failure> {
        gpu.probe_blocking()?;
        let fault = Arc::default();
        let adapters = adapters_blocking();
        let same = adapters.iter().find(|a| a.get_info() == *gpu.info());
        let offered = same.filter(|a| a.features().contains(Features::TIMESTAMP_QUERY));
        let wanted = match clock {
            Some(clock) => clock == Clock::Timestamps,
            None => gpu.info().device_type != DeviceType::Cpu,
        };
        match offered.filter(|_| wanted) {
            Some(adapter) => Self::with_clock(adapter, fault),
            None => Ok(Self {
                gpu,
                stamps: None,
                fault,
            }),
        }
    }

    fn with_clock(
        adapter: &wgpu::Adapter,
        fault: Arc<Mutex<Option<String>>>,
    ) -> Result<Self, Failure> {
        let opened = pollster::block_on(adapter.request_device(&device_request(adapter)));
        let (device, queue) = opened.map_err(|e| Failure::Machine(e.to_string()))?;
        let keep = |text: String, fault: &Mutex<Option<String>>| {
            let mut first = fault.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert(text);
        };
        let uncaptured = fault.clone();
        device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| {
            keep(e.to_string(), &uncaptured);
        }));
        let lost = fault.clone();
        device.set_device_lost_callback(move |_, why| {
            keep(format!("the device was lost: {why}"), &lost);
        });
        let stamps = Stamps::new(&device, &queue);
        Ok(Self {
            gpu: Gpu::with_device(device, queue)?,
            stamps: Some(stamps),
            fault,
        })
    }

    pub fn is_software(&self) -> bool {
        self.gpu.info().device_type == DeviceType::Cpu
    }

    pub fn device(&self) -> &wgpu::Device {
        self.gpu.device()
    }

    /// Waits until all that was submitted is done.
    pub fn wait(&self) -> Result<(), Failure> {
        let polled = self.device().poll(wgpu::PollType::wait_indefinitely());
        polled.map_err(|e| Failure::Machine(e.to_string()))?;
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        match &*fault {
            Some(text) => Err(Failure::Machine(text.clone())),
            None => Ok(()),
        }
    }

    /// A storage buffer that can be copied to and from.
    pub fn storage(&self, bytes: u64) -> wgpu::Buffer {
        self.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("wgbn bench"),
            size: bytes,
            usage: wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::COPY_SRC
                | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    /// Records and submits.
    pub fn submit(&self, record: impl FnOnce(&mut wgpu::CommandEncoder)) {
        let mut encoder = self.device().create_command_encoder(&Default::default());
        record(&mut encoder);
        self.gpu.queue().submit([encoder.finish()]);
    }
}
