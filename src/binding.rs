//! An operation bound to its buffers, and how it gets into a pass.

use crate::config::Momentum;
use crate::error::{BindError, ConfigError, EncodeError};
use crate::faults::made;
use crate::operation::params::Params;
use crate::shaders::Role;
#[cfg(feature = "internals")]
use crate::shaders::{Constants, Variant};

/// An operation bound to its buffers, ready to be recorded any number of times.
///
/// A binding owns its parameters, so two bindings of one plan never disturb each other. It keeps the
/// buffers and textures alive that it was made of.
#[derive(Clone, Debug)]
pub struct Binding {
    pub(crate) device: wgpu::Device,
    /// The name of its debug group.
    pub(crate) group: String,
    pub(crate) dispatches: Vec<Dispatch>,
    /// The dispatches that move running statistics.
    pub(crate) moving: Vec<Moving>,
}

/// One dispatch, and all that it was made of: enough to run it by other means than wgpu.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// What runs.
    pub pipeline: wgpu::ComputePipeline,
    pub(crate) bind_group: wgpu::BindGroup,
    /// Its shader.
    #[cfg(feature = "internals")]
    pub variant: Variant,
    /// The shader's constants.
    #[cfg(feature = "internals")]
    pub constants: Constants,
    /// What it binds, by the shader's numbers.
    #[cfg(feature = "internals")]
    pub bound: Vec<(u32, Resource)>,
    /// Workgroups, by x and y.
    pub grid: [u32; 2],
}

/// What it takes to bind a dispatch anew with other parameters.
#[derive(Clone, Debug)]
pub(crate) struct Moving {
    /// Its place among the dispatches.
    pub(crate) dispatch: usize,
    pub(crate) params: Params,
    pub(crate) label: &'static str,
    pub(crate) layout: wgpu::BindGroupLayout,
    pub(crate) bound: Vec<(u32, Resource)>,
}

/// What one binding of a dispatch holds.
#[derive(Clone, Debug)]
pub enum Resource {
    /// So many bytes of a buffer, from an offset on.
    Buffer(wgpu::Buffer, u64, u64),
    /// A texture.
    Texture(wgpu::TextureView),
}

impl Resource {
    pub(crate) fn buffer(binding: &wgpu::BufferBinding<'_>) -> Self {
        let size = binding.size.map_or(0, wgpu::BufferSize::get);
        Self::Buffer(binding.buffer.clone(), binding.offset, size)
    }

    /// As wgpu binds it.
    pub fn resource(&self) -> wgpu::BindingResource<'_> {
        match self {
            Self::Buffer(buffer, offset, size) => {
                wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer,
                    offset: *offset,
                    size: wgpu::BufferSize::new(*size),
                })
            }
            Self::Texture(view) => wgpu::BindingResource::TextureView(view),
        }
    }
}

impl Binding {
    /// Records the operation into the caller's pass, in a debug group of its name.
    ///
    /// Dispatches of one pass see what earlier ones wrote; nothing is submitted or waited for, and no GPU
    /// object is made. Afterwards the operation's last pipeline and its bind group 0 are still set in
    /// the pass; other bind groups are as they were.
    ///
    /// wgpu clears a buffer that was never written when it is first used, which costs a whole write of
    /// it. Keep buffers from one pass to the next.
    pub fn encode(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.push_debug_group(&self.group);
        for dispatch in &self.dispatches {
            pass.set_pipeline(&dispatch.pipeline);
            pass.set_bind_group(0, &dispatch.bind_group, &[]);
            let [x, y] = dispatch.grid;
            pass.dispatch_workgroups(x, y, 1);
        }
        pass.pop_debug_group();
    }

    /// [`Binding::encode`] between two timestamps: query `first` of the set is written before the operation's
    /// first dispatch and query `first + 1` behind its last, the adjacent pairs that wgpu-profiler uses. `Queue::get_timestamp_period` turns their
    /// difference into nanoseconds.
    ///
    /// # Errors
    /// A device made without `Features::TIMESTAMP_QUERY_INSIDE_PASSES`; a query set of another type or
    /// one that is too short. Then nothing is recorded. A query set of another device is wgpu's to refuse: it does so when
    /// the pass's encoder is finished.
    pub fn encode_timed(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        queries: &wgpu::QuerySet,
        first: u32,
    ) -> Result<(), EncodeError> {
        let last = timestamps(&self.device, queries, first)?;
        pass.write_timestamp(queries, first);
        self.encode(pass);
        pass.write_timestamp(queries, last);
        Ok(())
    }

    /// How many dispatches [`Binding::encode`] records.
    pub fn dispatch_count(&self) -> usize {
        self.dispatches.len()
    }

    /// The dispatches, so that tests can run them on implementations of WebGPU that wgpu does not reach.
    #[cfg(feature = "internals")]
    pub fn dispatches(&self) -> &[Dispatch] {
        &self.dispatches
    }

    /// Changes how fast running statistics move, from the next [`Binding::encode`] on. What was encoded
    /// before and clones of this binding keep the momentum that they have.
    ///
    /// This makes a small buffer and a bind group for each dispatch that moves running statistics, one for each
    /// piece of the tensor.
    ///
    /// # Errors
    /// A momentum outside [0, 1] or not finite; a binding that moves no running statistics; a device that was
    /// lost or has no memory. The binding then is as it was.
    pub fn set_momentum(&mut self, momentum: Momentum) -> Result<(), BindError> {
        momentum.validate()?;
        if self.moving.is_empty() {
            return Err(ConfigError::NoMomentum.into());
        }
        let moved = self
            .moving
            .iter()
            .map(|moving| moving.with(&self.device, momentum));
        let moved = moved.collect::<Result<Vec<_>, _>>()?;
        for (moving, (params, bind_group, bound)) in self.moving.iter_mut().zip(moved) {
            let dispatch = &mut self.dispatches[moving.dispatch];
            dispatch.bind_group = bind_group;
            #[cfg(feature = "internals")]
            dispatch.bound.clone_from(&bound);
            (moving.params, moving.bound) = (params, bound);
        }
        Ok(())
    }
}

type Moved = (Params, wgpu::BindGroup, Vec<(u32, Resource)>);

impl Moving {
    fn with(&self, device: &wgpu::Device, momentum: Momentum) -> Result<Moved, BindError> {
        let params = self.params.with_momentum(momentum);
        let uniforms = made(device, || uniforms(device, &[bytemuck::bytes_of(&params)]))?;
        let mut bound = self.bound.clone();
        for (binding, resource) in &mut bound {
            if *binding == 0 {
                *resource = Resource::buffer(&wgpu::BufferBinding {
                    buffer: &uniforms,
                    offset: 0,
                    size: wgpu::BufferSize::new(size_of::<Params>() as u64),
                });
            }
        }
        let bind_group = made(device, || {
            bind_group(device, self.label, &self.layout, &bound)
        })?;
        Ok((params, bind_group, bound))
    }
}

/// The second of the two timestamps, where both can be written.
pub(crate) fn timestamps(
    device: &wgpu::Device,
    queries: &wgpu::QuerySet,
    first: u32,
) -> Result<u32, EncodeError> {
    let inside = wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES;
    if !device.features().contains(inside) {
        return Err(EncodeError::NoTimestamps);
    }
    if !matches!(queries.ty(), wgpu::QueryType::Timestamp) {
        return Err(EncodeError::QueryType {
            got: format!("{:?}", queries.ty()),
        });
    }
    let count = queries.count();
    match first.checked_add(1).filter(|last| *last < count) {
        Some(last) => Ok(last),
        None => Err(EncodeError::QueryRange { first, count }),
    }
}

pub(crate) fn bind_group(
    device: &wgpu::Device,
    label: &str,
    layout: &wgpu::BindGroupLayout,
    bound: &[(u32, Resource)],
) -> wgpu::BindGroup {
    let entries: Vec<_> = bound
        .iter()
        .map(|(binding, bound)| wgpu::BindGroupEntry {
            binding: *binding,
            resource: bound.resource(),
        })
        .collect();
    device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some(label),
        layout,
        entries: &entries,
    })
}

/// Offsets of uniforms and of storage are multiples of 256 bytes at most.
pub(crate) const UNIFORM_STRIDE: u64 = 256;

/// Bytes of [`unused`]: a few for each role.
pub(crate) const UNUSED_BYTES: u64 = UNIFORM_STRIDE * Role::ALL.len() as u64;

/// What stands in for buffers that kernels would write, were they given. Each binding has its own, because wgpu
/// lets a dispatch wait for the one before that bound the same buffer as writable.
pub(crate) fn unused(device: &wgpu::Device) -> wgpu::Buffer {
    device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("wgpu-batchnorm unused"),
        size: UNUSED_BYTES,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    })
}

/// A buffer of uniforms, [`UNIFORM_STRIDE`] apart.
pub(crate) fn uniforms(device: &wgpu::Device, parts: &[&[u8]]) -> wgpu::Buffer {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(part);
        bytes.resize(bytes.len().next_multiple_of(UNIFORM_STRIDE as usize), 0);
    }
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("wgpu-batchnorm parameters"),
        size: bytes.len() as u64,
        // As storage they are bound where a kernel reads nothing of a binding.
        usage: wgpu::BufferUsages::UNIFORM
            | wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: true,
    });
    // Mapping at creation fails only where the device is lost; work on it will say so.
    if let Ok(mut mapped) = buffer.slice(..).get_mapped_range_mut() {
        mapped.copy_from_slice(&bytes);
    }
    buffer.unmap();
    buffer
}
