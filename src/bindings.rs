//! From buffers to bind groups, everything checked before anything is made; then to passes.

use crate::config::Momentum;
use crate::context::Context;
use crate::element::Element;
use crate::error::{BindError, ConfigError, RunError};
use crate::faults::{cause, watched};
use crate::params::{FLAGS_OFFSET, MOMENTUM_OFFSET, Params};
use crate::plan::{Axes, Grid, Piece, Schedule};
use crate::shaders::{Constants, Kernel, Role, Storage, Variant, Walk};

/// Uniform offsets are multiples of 256 bytes at most.
const PARAMS_STRIDE: u64 = 256;

/// An operation bound to its buffers, ready to be recorded any number of times.
///
/// A binding owns its parameters, so two bindings of one plan never disturb each other.
#[derive(Clone, Debug)]
pub struct Binding {
    dispatches: Vec<Dispatch>,
    uniforms: wgpu::Buffer,
    /// Where the parameters of the dispatches that move running statistics lie.
    running: Vec<(u64, Params)>,
}

/// One dispatch, and all that it was made of: enough to run it by other means than wgpu.
#[derive(Clone, Debug)]
pub struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
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

/// What one binding of a dispatch holds.
#[derive(Clone, Debug)]
pub enum Resource {
    /// So many bytes of a buffer, from an offset on.
    Buffer(wgpu::Buffer, u64, u64),
    /// A texture.
    Texture(wgpu::TextureView),
}

impl Resource {
    fn buffer(binding: &wgpu::BufferBinding<'_>) -> Self {
        let size = binding.size.map_or(0, wgpu::BufferSize::get);
        Self::Buffer(binding.buffer.clone(), binding.offset, size)
    }

    fn resource(&self) -> wgpu::BindingResource<'_> {
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
    /// Records the operation into the caller's pass.
    ///
    /// Dispatches of one pass see what earlier ones wrote; nothing is submitted or waited for.
    pub fn encode(&self, pass: &mut wgpu::ComputePass<'_>) {
        for dispatch in &self.dispatches {
            pass.set_pipeline(&dispatch.pipeline);
            pass.set_bind_group(0, &dispatch.bind_group, &[]);
            let [x, y] = dispatch.grid;
            pass.dispatch_workgroups(x, y, 1);
        }
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

    /// Changes how fast running statistics move, from the next submission on.
    ///
    /// # Errors
    /// A momentum outside [0, 1] or not finite; a binding that moves no running statistics.
    pub fn set_momentum(&self, queue: &wgpu::Queue, momentum: Momentum) -> Result<(), ConfigError> {
        momentum.validate()?;
        if self.running.is_empty() {
            return Err(ConfigError::NoMomentum);
        }
        for &(at, params) in &self.running {
            let params = params.with_momentum(momentum);
            let write =
                |offset, bytes: &[u8]| queue.write_buffer(&self.uniforms, at + offset, bytes);
            write(FLAGS_OFFSET, bytemuck::bytes_of(&params.flags));
            write(MOMENTUM_OFFSET, bytemuck::bytes_of(&params.momentum));
        }
        Ok(())
    }
}

/// A buffer in its role, with the bytes that the operation touches.
pub(crate) struct Slot<'a> {
    pub(crate) role: Role,
    pub(crate) name: &'static str,
    pub(crate) slice: wgpu::BufferSlice<'a>,
    pub(crate) bytes: u64,
}

impl<'a> Slot<'a> {
    /// What a dispatch over `piece` binds: that piece of a tensor, all of anything else.
    fn range(&self, piece: &Piece, load_bytes: u64) -> wgpu::BufferBinding<'a> {
        let (start, bytes) = match self.role.is_tensor() {
            true => (
                piece.binding_start() as u64 * load_bytes,
                (piece.binding_len() as u64 * load_bytes).next_multiple_of(4),
            ),
            false => (0, self.bytes),
        };
        wgpu::BufferBinding {
            buffer: self.slice.buffer(),
            offset: self.slice.offset() + start,
            size: wgpu::BufferSize::new(bytes),
        }
    }
}

pub(crate) fn whole(slice: wgpu::BufferSlice<'_>) -> wgpu::BufferBinding<'_> {
    wgpu::BufferBinding {
        buffer: slice.buffer(),
        offset: slice.offset(),
        size: wgpu::BufferSize::new(slice.size()),
    }
}

/// One dispatch to bind.
pub(crate) struct Step {
    pub(crate) kernel: Kernel,
    /// How it reads and writes the tensor.
    pub(crate) storage: Storage,
    /// The part of the tensors that is bound.
    pub(crate) piece: Piece,
    pub(crate) grid: Grid,
    pub(crate) params: Params,
    pub(crate) epilogue: Epilogue,
}

/// What comes after the normalization, as the shaders' constants have it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Epilogue {
    /// [`Activation::code`](crate::Activation::code).
    pub(crate) activation: u32,
    pub(crate) residual: bool,
    pub(crate) dresidual: bool,
}

/// What a dispatch does with the tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Reduces it to partials.
    Reduce,
    /// Merges partials and writes one.
    Map,
    /// Writes one, with nothing to merge.
    Apply,
    /// Leaves it alone, and merges partials.
    Merge,
    /// Reduces it and writes one.
    Resident(Grid),
}

impl Schedule {
    /// One dispatch of `kernel` for each piece, or one over all where it only merges.
    pub(crate) fn steps(&self, kernel: Kernel, stage: Stage) -> Vec<Step> {
        let storage = match self.element {
            Element::F32 => Storage::Single,
            Element::F16 | Element::Bf16 => Storage::Half,
        };
        let step = |piece: &Piece, grid: &Grid| Step {
            kernel,
            storage,
            piece: *piece,
            grid: *grid,
            params: Params::new(self, piece, grid),
            epilogue: Epilogue::default(),
        };
        let pieces = self.pieces.iter();
        match stage {
            Stage::Reduce => pieces.map(|piece| step(piece, &piece.reduce)).collect(),
            Stage::Apply => pieces.map(|piece| step(piece, &piece.apply)).collect(),
            Stage::Map => pieces.map(|piece| step(piece, &piece.map)).collect(),
            Stage::Merge => vec![step(&self.whole(), &self.merge)],
            Stage::Resident(grid) => vec![step(&self.whole(), &grid)],
        }
    }
}

/// Checks `slots` and makes the bind groups of `steps`.
pub(crate) fn bind(
    context: &Context,
    schedule: &Schedule,
    steps: &[Step],
    slots: &[Slot<'_>],
) -> Result<Binding, BindError> {
    bind_textures(context, schedule, steps, slots, &[])
}

/// [`bind`] with a view for each role that is a texture; these were checked.
pub(crate) fn bind_textures(
    context: &Context,
    schedule: &Schedule,
    steps: &[Step],
    slots: &[Slot<'_>],
    textures: &[(Role, wgpu::TextureView)],
) -> Result<Binding, BindError> {
    check(context.device(), slots)?;
    let slot = |role| slots.iter().find(|slot| slot.role == role);
    let params: Vec<Params> = steps.iter().map(|step| step.params).collect();
    let uniforms = made(context.device(), || {
        uniforms(context.device(), &params, schedule.axes.as_ref())
    })?;
    let walk = match schedule.axes {
        Some(_) => Walk::Strided,
        None => Walk::Dense,
    };
    let dispatches = steps.iter().enumerate().map(|(k, step)| {
        // Without a buffer of its own, y goes over x.
        let in_place = step.kernel.maps() && slot(Role::Out).is_none();
        let columns = step.grid.lane_columns;
        let variant = Variant::new(step.kernel, step.storage, walk, schedule.load, columns);
        let constants = Constants {
            workgroup: step.grid.workgroup,
            activation: step.epilogue.activation,
            residual: step.epilogue.residual,
            dresidual: step.epilogue.dresidual,
            in_place,
            bfloat: schedule.element == Element::Bf16,
        };
        let pipeline = context.pipeline(variant, constants)?;
        let uniform = |at: u64, bytes: usize| wgpu::BufferBinding {
            buffer: &uniforms,
            offset: at * PARAMS_STRIDE,
            size: wgpu::BufferSize::new(bytes as u64),
        };
        let bound = |role: Role| {
            if role == Role::Axes {
                return Resource::buffer(&uniform(steps.len() as u64, size_of::<Axes>()));
            }
            let view = textures.iter().find(|(bound, _)| *bound == role);
            if let Some((_, view)) = view.filter(|_| variant.binds_texture(role)) {
                return Resource::Texture(view.clone());
            }
            let slot = match role {
                Role::X if in_place => None,
                Role::Out if in_place => slot(Role::X),
                role => slot(role),
            };
            Resource::buffer(&match slot {
                Some(slot) => slot.range(&step.piece, schedule.load_bytes()),
                None => whole(context.unused(role)),
            })
        };
        let mut all = vec![(0, Resource::buffer(&uniform(k as u64, size_of::<Params>())))];
        let roles = pipeline.roles.iter();
        all.extend(roles.map(|&role| (role as u32, bound(role))));
        let entries: Vec<_> = all
            .iter()
            .map(|(binding, bound)| wgpu::BindGroupEntry {
                binding: *binding,
                resource: bound.resource(),
            })
            .collect();
        let label = step.kernel.name();
        let device = context.device();
        let bind_group = made(device, || {
            device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(label),
                layout: &pipeline.layout,
                entries: &entries,
            })
        })?;
        Ok::<_, BindError>(Dispatch {
            pipeline: pipeline.pipeline,
            bind_group,
            #[cfg(feature = "internals")]
            variant,
            #[cfg(feature = "internals")]
            constants,
            #[cfg(feature = "internals")]
            bound: all,
            grid: step.grid.dispatch,
        })
    });
    let dispatches = dispatches.collect::<Result<_, _>>()?;
    let running = steps
        .iter()
        .enumerate()
        .filter(|(_, step)| step.params.flags & crate::params::flags::HAS_RUNNING != 0)
        .map(|(k, step)| (k as u64 * PARAMS_STRIDE, step.params))
        .collect();
    Ok(Binding {
        dispatches,
        uniforms,
        running,
    })
}

/// What `make` makes of the caller's buffers and textures, or what wgpu says against it.
pub(crate) fn made<T>(device: &wgpu::Device, make: impl FnOnce() -> T) -> Result<T, BindError> {
    let (made, error) = watched(device, make);
    let Some(error) = error else {
        return Ok(made);
    };
    Err(match cause(device, error) {
        RunError::Device { reason } => BindError::Refused { reason },
        lost_or_full => BindError::Run(lost_or_full),
    })
}

/// The parameters of every step, and the axes behind them, in one buffer.
pub(crate) fn uniforms(
    device: &wgpu::Device,
    params: &[Params],
    axes: Option<&Axes>,
) -> wgpu::Buffer {
    let mut bytes = Vec::new();
    let mut push = |part: &[u8]| {
        bytes.extend_from_slice(part);
        bytes.resize(bytes.len().next_multiple_of(PARAMS_STRIDE as usize), 0);
    };
    for params in params {
        push(bytemuck::bytes_of(params));
    }
    if let Some(axes) = axes {
        push(bytemuck::bytes_of(axes));
    }
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("wgpu-batchnorm parameters"),
        size: bytes.len() as u64,
        usage: wgpu::BufferUsages::UNIFORM
            | wgpu::BufferUsages::COPY_DST
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

/// Checks buffers against their roles.
pub(crate) fn check(device: &wgpu::Device, slots: &[Slot<'_>]) -> Result<(), BindError> {
    let alignment = u64::from(device.limits().min_storage_buffer_offset_alignment);
    for slot in slots {
        let buffer = slot.name;
        if !slot
            .slice
            .buffer()
            .usage()
            .contains(wgpu::BufferUsages::STORAGE)
        {
            return Err(BindError::Usage { buffer });
        }
        let got = slot.slice.offset();
        if got % alignment != 0 {
            return Err(BindError::Alignment {
                buffer,
                got,
                alignment,
            });
        }
        let (got, expected) = (slot.slice.size(), slot.bytes);
        if got < expected {
            return Err(BindError::Size {
                buffer,
                got,
                expected,
            });
        }
    }
    // All are bound writable, and browsers refuse writable bindings that overlap.
    for (k, slot) in slots.iter().enumerate() {
        for other in &slots[..k] {
            let same_buffer = slot.slice.buffer() == other.slice.buffer();
            let (start, end) = (slot.slice.offset(), slot.slice.offset() + slot.bytes);
            let (from, to) = (other.slice.offset(), other.slice.offset() + other.bytes);
            if same_buffer && start < to && from < end {
                return Err(BindError::Overlap {
                    buffer: slot.name,
                    other: other.name,
                });
            }
        }
    }
    Ok(())
}
