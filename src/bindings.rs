//! From buffers to bind groups, everything checked before anything is made.

use crate::binding::{self, Binding, Dispatch, Moving, Resource, UNIFORM_STRIDE, uniforms, unused};
use crate::config::{Activation, Config};
use crate::context::Context;
use crate::error::{BindError, ConfigError};
use crate::faults::{made, unusable, unusable_buffer, unusable_texture};
use crate::operation::params::{Params, flags};
use crate::operation::{Asked, Buffer, Holds, Operation, WeightAxes};
use crate::plan::{Axes, Piece, Schedule};
use crate::shaders::Role;

/// A buffer in its role, with the bytes that the operation touches.
pub(crate) struct Argument<'a> {
    pub(crate) role: Role,
    pub(crate) name: &'static str,
    pub(crate) slice: wgpu::BufferSlice<'a>,
    pub(crate) bytes: u64,
    /// Whether every dispatch binds all of it, and not its own piece.
    whole: bool,
}

impl<'a> Argument<'a> {
    /// What a dispatch over `piece` binds: that piece of a tensor, all of anything else.
    fn range(&self, piece: &Piece, load_bytes: u64) -> wgpu::BufferBinding<'a> {
        match self.whole {
            false => self.bytes_at(
                piece.binding_start() as u64 * load_bytes,
                (piece.binding_len() as u64 * load_bytes).next_multiple_of(4),
            ),
            true => self.all(),
        }
    }

    pub(crate) fn all(&self) -> wgpu::BufferBinding<'a> {
        self.bytes_at(0, self.bytes)
    }

    fn bytes_at(&self, start: u64, bytes: u64) -> wgpu::BufferBinding<'a> {
        wgpu::BufferBinding {
            buffer: self.slice.buffer(),
            offset: self.slice.offset() + start,
            size: wgpu::BufferSize::new(bytes),
        }
    }
}

/// The buffers of one call by their names in [`Operation::buffers`]: `None` where the caller gave none.
pub(crate) type Named<'a> = (&'static str, Option<wgpu::BufferSlice<'a>>);

/// What is to be bound: an operation on a schedule, and what its caller gave.
pub(crate) struct Request<'r, 'a> {
    pub(crate) operation: Operation,
    pub(crate) config: &'r Config,
    pub(crate) schedule: &'r Schedule,
    /// Its `given` is found from the buffers and textures.
    pub(crate) asked: Asked,
    pub(crate) buffers: &'r [Named<'a>],
    /// A view for each role that is a texture; these were checked.
    pub(crate) textures: &'r [(Role, wgpu::TextureView)],
}

/// What of `buffers` is given, by the operation's description.
fn given<'a>(
    operation: Operation,
    buffers: &[Named<'a>],
) -> impl Iterator<Item = (&'static Buffer, Option<wgpu::BufferSlice<'a>>)> {
    let bound = operation.buffers().iter();
    let bound = bound.filter(|buffer| buffer.holds != Holds::Texture);
    bound.map(|buffer| {
        let named = buffers.iter().find(|(name, _)| *name == buffer.name);
        (buffer, named.and_then(|(_, slice)| *slice))
    })
}

/// The buffers that `operation` binds, in their roles: refused where one is missing or one too many.
pub(crate) fn arguments<'a>(
    operation: Operation,
    config: &Config,
    bytes: impl Fn(Holds) -> u64,
    buffers: &[Named<'a>],
) -> Result<Vec<Argument<'a>>, BindError> {
    let mut arguments = Vec::new();
    for (buffer, slice) in given(operation, buffers) {
        let (must, may) = buffer.given.must_and_may(config);
        match slice {
            None if must => {
                return Err(BindError::Missing {
                    buffer: buffer.name,
                });
            }
            Some(_) if !may => {
                return Err(BindError::Unexpected {
                    buffer: buffer.name,
                });
            }
            None => {}
            Some(slice) => arguments.push(Argument {
                role: buffer.role,
                name: buffer.name,
                slice,
                bytes: bytes(buffer.holds),
                whole: !buffer.role.is_tensor() || buffer.holds == Holds::Planes,
            }),
        }
    }
    let known = |name: &str| operation.buffers().iter().any(|buffer| buffer.name == name);
    match buffers
        .iter()
        .find(|(name, slice)| slice.is_some() && !known(name))
    {
        Some((buffer, _)) => Err(BindError::Unexpected { buffer }),
        None => Ok(arguments),
    }
}

/// Checks what was given and makes the bind groups of the operation's dispatches.
pub(crate) fn bind(context: &Context, request: &Request<'_, '_>) -> Result<Binding, BindError> {
    let Request {
        operation,
        config,
        schedule,
        mut asked,
        buffers,
        textures,
    } = *request;
    textures.iter().for_each(|(role, _)| asked.give(*role));
    let buffers_given = given(operation, buffers).filter(|(_, slice)| slice.is_some());
    buffers_given.for_each(|(buffer, _)| asked.give(buffer.role));
    asked.through_residual = asked.has(Role::Residual) && config.activation != Activation::None;
    // Of an empty batch nothing is weighed.
    asked.weights = asked.weights.filter(|_| !schedule.view.is_empty());
    operation.validate(config, &schedule.view, &asked)?;
    weights_fit(context, schedule, &asked)?;
    let channels = asked.tensor.map_or(0, |tensor| tensor.channels());
    let bytes = |holds: Holds| match holds {
        Holds::Planes => 4 * channels * schedule.view.count() as u64,
        Holds::Weights => asked
            .weights
            .map_or(0, |weights| 4 * weights.places.len as u64),
        holds => holds.bytes(schedule),
    };
    let arguments = arguments(operation, config, bytes, buffers)?;
    check(context.device(), &arguments)?;
    // Of an empty batch there is nothing to bind.
    let argument = |role| {
        let mut bound = arguments.iter().filter(|argument| argument.bytes > 0);
        bound.find(|argument| argument.role == role)
    };
    let written = |role| operation.writes(role, schedule, &asked);
    let apart = context.machine().tuning.read_only && apart(&arguments, written);
    asked.apart = apart;
    let steps = operation.steps(config, schedule, &asked);
    let params = steps.iter().map(|step| bytemuck::bytes_of(&step.params));
    let axes = schedule.axes.iter().map(bytemuck::bytes_of);
    let weight_axes = asked.weights.map(|weights| weights.axes());
    let weight_axes = weight_axes.iter().map(bytemuck::bytes_of);
    let parts: Vec<_> = params.chain(axes).chain(weight_axes).collect();
    let device = context.device();
    let uniforms = made(device, || uniforms(device, &parts))?;
    // Made where a dispatch needs it.
    let mut placeholders = None;
    let mut moving = Vec::new();
    let dispatches = steps.iter().enumerate().map(|(k, step)| {
        let in_place = step.constants.in_place;
        let variant = context.variant(step);
        let pipeline = context.pipeline(variant, step.constants)?;
        let uniform = |at: u64, bytes: usize| wgpu::BufferBinding {
            buffer: &uniforms,
            offset: at * UNIFORM_STRIDE,
            size: wgpu::BufferSize::new(bytes as u64),
        };
        let mut bound = |role: Role| {
            if role == Role::Axes {
                let at = steps.len() as u64;
                return Ok(Resource::buffer(&uniform(at, size_of::<Axes>())));
            }
            if role == Role::WeightAxes {
                let at = parts.len() as u64 - 1;
                return Ok(Resource::buffer(&uniform(at, size_of::<WeightAxes>())));
            }
            let view = textures.iter().find(|(bound, _)| *bound == role);
            if let Some((_, view)) = view.filter(|_| variant.binds_texture(role)) {
                return Ok(Resource::Texture(view.clone()));
            }
            let argument = match role {
                Role::X if in_place => None,
                Role::Out if in_place => argument(Role::X),
                role => argument(role),
            };
            if let Some(argument) = argument {
                let range = argument.range(&step.piece, step.bytes_each);
                return Ok(Resource::buffer(&range));
            }
            // Nothing is given, and nothing read or written.
            if variant.only_reads(role) {
                return Ok(Resource::buffer(&uniform(
                    k as u64,
                    UNIFORM_STRIDE as usize,
                )));
            }
            let buffer = match &placeholders {
                Some(buffer) => buffer,
                None => placeholders.insert(made(device, || unused(device))?),
            };
            Ok::<_, BindError>(Resource::buffer(&wgpu::BufferBinding {
                buffer,
                offset: UNIFORM_STRIDE * (role as u64 - 1),
                size: wgpu::BufferSize::new(UNIFORM_STRIDE),
            }))
        };
        let mut all = vec![(0, Resource::buffer(&uniform(k as u64, size_of::<Params>())))];
        for &role in &pipeline.roles {
            all.push((role as u32, bound(role)?));
        }
        let label = variant.kernel.name();
        let make = || binding::bind_group(device, label, &pipeline.layout, &all);
        let bind_group = made(device, make).map_err(|error| {
            let named_views = textures
                .iter()
                .map(|(role, view)| (name(operation, *role), view));
            named(device, &arguments, named_views, error)
        })?;
        if step.params.flags & flags::HAS_RUNNING != 0 {
            moving.push(Moving {
                dispatch: k,
                params: step.params,
                label,
                layout: pipeline.layout,
                bound: all.clone(),
            });
        }
        Ok::<_, BindError>(Dispatch {
            pipeline: pipeline.pipeline,
            bind_group,
            #[cfg(feature = "internals")]
            variant,
            #[cfg(feature = "internals")]
            constants: step.constants,
            #[cfg(feature = "internals")]
            bound: all,
            grid: step.grid.dispatch,
        })
    });
    let dispatches = dispatches.collect::<Result<_, _>>()?;
    Ok(Binding {
        device: device.clone(),
        group: format!("wgpu-batchnorm {}", operation.name()),
        dispatches,
        moving,
    })
}

/// Refuses weights that the dispatches cannot find or bind.
fn weights_fit(context: &Context, schedule: &Schedule, asked: &Asked) -> Result<(), BindError> {
    let Some(weights) = asked.weights else {
        return Ok(());
    };
    let refused = |with| {
        Err(ConfigError::Combination {
            what: "weights",
            with,
        }
        .into())
    };
    if !schedule.flat.is_empty() && asked.through_residual && asked.has(Role::Dy) {
        return refused(
            "a residual before an activation, in backward on f16 or bf16 whose runs are no multiple of four long",
        );
    }
    let (_, most) = context.machine().binding_bytes();
    match weights.places.x_len > u32::MAX as usize || 4 * weights.places.len as u64 > most {
        true => refused("a tensor of 2³² values or more, or weights that no one binding holds"),
        false => Ok(()),
    }
}

/// Whether each buffer that the operation writes holds one argument alone. wgpu refuses a buffer that a
/// dispatch binds both read-only and writable, however far apart the ranges.
fn apart(arguments: &[Argument<'_>], written: impl Fn(Role) -> bool) -> bool {
    arguments.iter().enumerate().all(|(k, argument)| {
        arguments[..k].iter().all(|other| {
            argument.slice.buffer() != other.slice.buffer()
                || !(written(argument.role) || written(other.role))
        })
    })
}

/// What errors call the argument in this role.
fn name(operation: Operation, role: Role) -> &'static str {
    let mut buffers = operation.buffers().iter();
    let buffer = buffers.find(|buffer| buffer.role == role);
    buffer.map_or("a texture", |buffer| buffer.name)
}

/// Names the buffer or texture that is at fault where wgpu refused several together.
pub(crate) fn named<'v>(
    device: &wgpu::Device,
    arguments: &[Argument<'_>],
    mut views: impl Iterator<Item = (&'static str, &'v wgpu::TextureView)>,
    error: BindError,
) -> BindError {
    if !matches!(error, BindError::Refused { .. }) {
        return error;
    }
    let mut buffers = arguments.iter().filter_map(|argument| {
        let fault = unusable_buffer(device, argument.slice.buffer())?;
        Some(unusable(device, argument.name, fault))
    });
    let textures = || {
        views.find_map(|(name, view)| {
            let fault = unusable_texture(device, view.texture())?;
            Some(unusable(device, name, fault))
        })
    };
    buffers.next().or_else(textures).unwrap_or(error)
}

/// Checks buffers against their roles.
pub(crate) fn check(device: &wgpu::Device, arguments: &[Argument<'_>]) -> Result<(), BindError> {
    let alignment = u64::from(device.limits().min_storage_buffer_offset_alignment);
    for argument in arguments {
        let buffer = argument.name;
        if !argument
            .slice
            .buffer()
            .usage()
            .contains(wgpu::BufferUsages::STORAGE)
        {
            return Err(BindError::Usage {
                buffer,
                expected: "STORAGE",
            });
        }
        let got = argument.slice.offset();
        if got % alignment != 0 {
            return Err(BindError::Alignment {
                buffer,
                got,
                alignment,
            });
        }
        let (got, expected) = (argument.slice.size(), argument.bytes);
        if got < expected {
            return Err(BindError::Size {
                buffer,
                got,
                expected,
            });
        }
    }
    // Browsers refuse writable bindings that overlap, and which are writable depends on all of them.
    for (k, argument) in arguments.iter().enumerate() {
        for other in &arguments[..k] {
            let same_buffer = argument.slice.buffer() == other.slice.buffer();
            let (start, end) = (
                argument.slice.offset(),
                argument.slice.offset() + argument.bytes,
            );
            let (from, to) = (other.slice.offset(), other.slice.offset() + other.bytes);
            let touched = argument.bytes > 0 && other.bytes > 0;
            if same_buffer && touched && start < to && from < end {
                return Err(BindError::Overlap {
                    buffer: argument.name,
                    other: other.name,
                });
            }
        }
    }
    Ok(())
}
