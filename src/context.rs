//! Compiled pipelines, shared by every plan and layer of a device.

#[cfg(any(feature = "tuning", feature = "internals"))]
mod tuned;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::binding::UNUSED_BYTES;
use crate::config::Config;
use crate::error::{BindError, CacheError, DeviceError, RunError};
use crate::faults::{cause, watched};
use crate::operation::{Asked, Operation, Step};
use crate::pipeline_cache;
use crate::plan::{DeviceClass, Machine, Schedule, Tuning};
use crate::shader_module;
use crate::shaders::{Constants, Role, Storage, TexelFormat, Variant};

/// The recording layer's entry: pipelines of one device, compiled when first bound.
///
/// A context is cheap to clone and its clones share everything. It creates no device, and but for
/// [`Context::calibrate`] it submits nothing and polls nothing.
#[derive(Clone, Debug)]
pub struct Context {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    device: wgpu::Device,
    machine: Machine,
    /// When the tuning file was made that the sizes are of.
    made: Option<String>,
    pipelines: Arc<Mutex<HashMap<(Variant, Constants), Entry>>>,
    /// What the driver keeps of compiled pipelines, where the device can give it as bytes.
    cache: Mutex<Option<wgpu::PipelineCache>>,
    /// Whether the device was seen to read and round f16 right by its float instructions.
    f16_proved: AtomicBool,
}

/// A pipeline, once it was compiled. Each has its own lock, so compiling one does not block the others.
type Entry = Arc<Mutex<Option<Pipeline>>>;

/// A compiled variant and the layout of its bind group.
#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    pub(crate) pipeline: wgpu::ComputePipeline,
    pub(crate) layout: wgpu::BindGroupLayout,
    pub(crate) roles: Vec<Role>,
}

impl Context {
    /// Makes a context for the caller's device.
    ///
    /// # Errors
    /// A device below WebGPU's default limits for compute, or one that has no memory for a buffer of a few
    /// kilobytes.
    pub fn new(device: &wgpu::Device) -> Result<Self, DeviceError> {
        let class = match device.adapter_info().device_type {
            wgpu::DeviceType::Cpu => DeviceClass::Cpu,
            wgpu::DeviceType::IntegratedGpu => DeviceClass::Integrated,
            _ => DeviceClass::Discrete,
        };
        Self::tuned(device, class.tuning(), None)
    }

    /// `made` says when the tuning file was, where the sizes are of one.
    fn tuned(
        device: &wgpu::Device,
        tuning: Tuning,
        made: Option<String>,
    ) -> Result<Self, DeviceError> {
        let limits = device.limits();
        let widest = tuning.widest();
        for (limit, got, expected) in [
            (
                "max_storage_buffers_per_shader_stage",
                limits.max_storage_buffers_per_shader_stage,
                8,
            ),
            (
                "max_compute_invocations_per_workgroup",
                limits.max_compute_invocations_per_workgroup,
                widest,
            ),
            (
                "max_compute_workgroup_size_x",
                limits.max_compute_workgroup_size_x,
                widest,
            ),
            (
                "max_compute_workgroup_storage_size",
                limits.max_compute_workgroup_storage_size,
                widest * PARTIAL_BYTES,
            ),
            (
                "max_compute_workgroups_per_dimension",
                limits.max_compute_workgroups_per_dimension,
                65_535,
            ),
        ] {
            at_least(limit, got.into(), expected.into())?;
        }
        at_least("max_buffer_size", limits.max_buffer_size, UNUSED_BYTES)?;
        let binding = limits.max_storage_buffer_binding_size;
        let (binding_limit, max_binding_bytes) = if limits.max_buffer_size < binding {
            ("max_buffer_size", limits.max_buffer_size)
        } else {
            ("max_storage_buffer_binding_size", binding)
        };
        Ok(Self {
            shared: Arc::new(Shared {
                device: device.clone(),
                machine: Machine {
                    max_groups_per_dimension: limits.max_compute_workgroups_per_dimension,
                    max_binding_bytes,
                    binding_limit,
                    tuning,
                },
                made,
                pipelines: Arc::default(),
                cache: Mutex::new(pipeline_cache::empty(device)),
                f16_proved: AtomicBool::new(false),
            }),
        })
    }

    /// When the tuning file was made whose sizes the context plans with: UTC, such as `2026-01-31T23:59:59Z`. `None`
    /// where they are those of the device's class.
    pub fn tuned_on(&self) -> Option<&str> {
        self.shared.made.as_deref()
    }

    /// Whether kernels of f16 that are bound now use the device's float instructions: [`Context::calibrate`] saw
    /// that these read and round f16 right.
    pub fn f16_proved(&self) -> bool {
        self.shared.f16_proved.load(Ordering::Relaxed)
    }

    /// Takes for granted what another context of the same device saw.
    pub(crate) fn trust_f16(&self, proved: bool) {
        self.shared.f16_proved.store(proved, Ordering::Relaxed);
    }

    /// The variant of a step that suits the device.
    pub(crate) fn variant(&self, step: &Step) -> Variant {
        let half = step.variant.storage == Storage::Half;
        let f16 = half && !step.constants.bfloat && !step.variant.weighted;
        let storage = match f16 && self.f16_proved() {
            true => Storage::F16,
            false => step.variant.storage,
        };
        Variant {
            storage,
            ..step.variant
        }
    }

    /// The kernel variants compiled so far, each as often as it has sets of constants.
    #[cfg(feature = "internals")]
    pub fn compiled(&self) -> Vec<Variant> {
        let pipelines = lock(&self.shared.pipelines);
        let compiled = pipelines.iter().filter(|(_, entry)| lock(entry).is_some());
        compiled.map(|(&(variant, _), _)| variant).collect()
    }

    pub(crate) fn device(&self) -> &wgpu::Device {
        &self.shared.device
    }

    /// Refuses what another context made.
    pub(crate) fn is_that_of(&self, other: &Self) -> Result<(), BindError> {
        match Arc::ptr_eq(&self.shared, &other.shared) {
            true => Ok(()),
            false => Err(BindError::OtherContext),
        }
    }

    /// Compiles the pipelines of an operation, whichever buffers it will be bound to.
    pub(crate) fn compile(
        &self,
        operation: Operation,
        config: &Config,
        schedule: &Schedule,
        mut asked: Asked,
    ) -> Result<(), BindError> {
        let read_only = self.machine().tuning.read_only;
        for apart in [true, false]
            .into_iter()
            .filter(|&apart| read_only || !apart)
        {
            asked.apart = apart;
            for step in operation.steps(config, schedule, &asked) {
                self.pipeline(self.variant(&step), step.constants)?;
            }
        }
        Ok(())
    }

    pub(crate) fn pipeline_cache(&self) -> Option<wgpu::PipelineCache> {
        lock(&self.shared.cache).clone()
    }

    /// What was compiled so far, as bytes for [`Context::load_pipeline_cache`] in a later run of the
    /// program. `None` on a device made without `Features::PIPELINE_CACHE`, which Vulkan alone has, or
    /// where the driver gives nothing.
    ///
    /// The library reads and writes no files. Keep the bytes where this program alone writes.
    pub fn pipeline_cache_data(&self) -> Option<Vec<u8>> {
        pipeline_cache::data(self.device(), &self.pipeline_cache()?)
    }

    /// Lets pipelines be made from what an earlier run compiled; results are the same with and without.
    /// Call it before anything is compiled: what was compiled until then is not in the new cache's data.
    ///
    /// # Safety
    /// `bytes` are what [`Context::pipeline_cache_data`] gave, and nobody else could write them since.
    /// Bytes that were damaged by accident, or that are of another adapter or driver, are refused. Bytes
    /// that somebody forged on purpose can pass these checks, and then the driver reads them.
    ///
    /// # Errors
    /// A device made without `Features::PIPELINE_CACHE`; bytes that are no pipeline cache, that are
    /// damaged, or that are of another adapter or driver. The context then compiles as it did before.
    #[allow(
        unsafe_code,
        reason = "only the caller knows where the bytes come from"
    )]
    pub unsafe fn load_pipeline_cache(&self, bytes: &[u8]) -> Result<(), CacheError> {
        // SAFETY: as the caller promised.
        let cache = unsafe { pipeline_cache::load(self.device(), bytes) }?;
        *lock(&self.shared.cache) = Some(cache);
        Ok(())
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.shared.machine
    }

    /// The pipeline of `variant`, compiled now if nobody asked before. One that failed is not kept:
    /// a driver without memory may have some later.
    pub(crate) fn pipeline(
        &self,
        variant: Variant,
        constants: Constants,
    ) -> Result<Pipeline, BindError> {
        let entry = {
            let mut pipelines = lock(&self.shared.pipelines);
            pipelines.entry((variant, constants)).or_default().clone()
        };
        let mut entry = lock(&entry);
        if let Some(pipeline) = &*entry {
            return Ok(pipeline.clone());
        }
        let (pipeline, error) = watched(self.device(), || self.made(variant, constants));
        if let Some(error) = error {
            return Err(match cause(self.device(), error) {
                RunError::Device { reason } => BindError::Pipeline {
                    kernel: variant.label(),
                    reason,
                },
                lost_or_full => BindError::Run(lost_or_full),
            });
        }
        Ok(entry.insert(pipeline).clone())
    }

    fn made(&self, variant: Variant, constants: Constants) -> Pipeline {
        tracing::debug!(variant = variant.label(), ?constants, "compiling");
        let device = self.device();
        let label = variant.label();
        let roles = variant.roles();
        let source = variant.source();
        let constants = constants.of(&source);
        let module = shader_module::made(
            device,
            wgpu::ShaderModuleDescriptor {
                label: Some(&label),
                source: wgpu::ShaderSource::Wgsl(source.into()),
            },
            variant.guarded(),
        );
        let layout_entry = |binding, ty| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty,
            count: None,
        };
        let storage = |role| wgpu::BufferBindingType::Storage {
            read_only: variant.only_reads(role),
        };
        let mut entries = vec![layout_entry(0, buffer(wgpu::BufferBindingType::Uniform))];
        entries.extend(roles.iter().map(|&role| {
            let ty = match (role, variant.storage) {
                (Role::X, storage) if storage.reads_texture() => READ_TEXTURE,
                (Role::Out, storage) if let Some(format) = storage.written_texture() => {
                    written_texture(format)
                }
                (role, _) if role.is_uniform() => buffer(wgpu::BufferBindingType::Uniform),
                _ => buffer(storage(role)),
            };
            layout_entry(role as u32, ty)
        }));
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(&label),
            entries: &entries,
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(&label),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&label),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &constants,
                // Every word that counts was written before it is read.
                zero_initialize_workgroup_memory: false,
            },
            cache: self.pipeline_cache().as_ref(),
        });
        Pipeline {
            pipeline,
            layout,
            roles,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn buffer(ty: wgpu::BufferBindingType) -> wgpu::BindingType {
    wgpu::BindingType::Buffer {
        ty,
        has_dynamic_offset: false,
        min_binding_size: None,
    }
}

/// A texture that is loaded from, never filtered.
pub(crate) const READ_TEXTURE: wgpu::BindingType = wgpu::BindingType::Texture {
    sample_type: wgpu::TextureSampleType::Float { filterable: false },
    view_dimension: wgpu::TextureViewDimension::D2,
    multisampled: false,
};

fn written_texture(format: TexelFormat) -> wgpu::BindingType {
    wgpu::BindingType::StorageTexture {
        access: wgpu::StorageTextureAccess::WriteOnly,
        format: match format {
            TexelFormat::Rgba8Unorm => wgpu::TextureFormat::Rgba8Unorm,
            TexelFormat::Rgba16Float => wgpu::TextureFormat::Rgba16Float,
        },
        view_dimension: wgpu::TextureViewDimension::D2,
    }
}

/// A partial in workgroup memory, at its widest: moments of four channels.
const PARTIAL_BYTES: u32 = 48;

fn at_least(limit: &'static str, got: u64, expected: u64) -> Result<(), DeviceError> {
    match got >= expected {
        true => Ok(()),
        false => Err(DeviceError::Limit {
            limit,
            got,
            expected,
        }),
    }
}
