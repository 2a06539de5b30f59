//! What wgpu reports about calls made here, caught before the device's own handler sees it: that one
//! belongs to whoever made the device, and wgpu's default for it is to panic.

#[cfg(not(target_arch = "wasm32"))]
use std::task::{Context, Poll, Waker};

use crate::error::{BindError, RunError};

/// Does `work`, and gives what wgpu reported of it: lack of memory first, which explains the rest.
///
/// A lost device reports nothing here. Browsers answer later than a call can wait: there errors go
/// to the device's handler, and to the next readback with it.
pub(crate) fn watched<T>(
    device: &wgpu::Device,
    work: impl FnOnce() -> T,
) -> (T, Option<wgpu::Error>) {
    #[cfg(target_arch = "wasm32")]
    return {
        let _ = device;
        (work(), None)
    };
    #[cfg(not(target_arch = "wasm32"))]
    {
        use wgpu::ErrorFilter::{Internal, OutOfMemory, Validation};
        let scopes = [OutOfMemory, Internal, Validation].map(|kind| device.push_error_scope(kind));
        let done = work();
        let mut error = None;
        for scope in scopes.into_iter().rev() {
            let popped = std::pin::pin!(scope.pop());
            // Outside of browsers it is known at once.
            if let Poll::Ready(Some(e)) = popped.poll(&mut Context::from_waker(Waker::noop())) {
                error = Some(e);
            }
        }
        (done, error)
    }
}

/// Does `work`; what wgpu reported of it is the error, with the operation's name.
pub(crate) fn watched_as<T>(
    operation: &str,
    device: &wgpu::Device,
    work: impl FnOnce() -> T,
) -> Result<T, RunError> {
    let (done, error) = watched(device, work);
    let Some(error) = error else {
        return Ok(done);
    };
    Err(match cause(device, error) {
        RunError::Device { reason } => RunError::Device {
            reason: format!("{operation}: {reason}"),
        },
        other => other,
    })
}

/// A buffer, or the error that there is no room for it.
pub(crate) fn allocated(
    device: &wgpu::Device,
    label: &str,
    bytes: u64,
    usage: wgpu::BufferUsages,
) -> Result<wgpu::Buffer, RunError> {
    let (buffer, error) = watched(device, || {
        device.create_buffer(&wgpu::BufferDescriptor {
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
        Some(error) => Err(cause(device, error)),
        None => Ok(buffer),
    }
}

/// What is behind `error`: where the device is lost, that.
pub(crate) fn cause(device: &wgpu::Device, error: wgpu::Error) -> RunError {
    match is_lost(device) {
        true => RunError::DeviceLost {
            reason: error.to_string(),
        },
        false => error.into(),
    }
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

/// Only the device's handler is told of a loss; but a device makes buffers until it is lost, and
/// only invalid ones then, without a word.
pub(crate) fn is_lost(device: &wgpu::Device) -> bool {
    let probe = wgpu::BufferDescriptor {
        label: Some("wgpu-batchnorm probe"),
        size: 4,
        usage: wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: true,
    };
    let (probe, refused) = watched(device, || device.create_buffer(&probe));
    let (_, invalid) = watched(device, || probe.unmap());
    refused.is_none() && invalid.is_some()
}

/// What keeps `buffer` from being bound as storage on `device`: it belongs to another device, or it was
/// destroyed. The buffer is bound alone, by a layout made for that, so this is for finding out which of
/// several buffers was refused.
pub(crate) fn unusable_buffer(device: &wgpu::Device, buffer: &wgpu::Buffer) -> Option<wgpu::Error> {
    let entry = wgpu::BindGroupLayoutEntry {
        binding: 0,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Storage { read_only: false },
            has_dynamic_offset: false,
            min_binding_size: None,
        },
        count: None,
    };
    let size = wgpu::BufferSize::new(buffer.size().min(256) & !3);
    let (_, refused) = watched(device, || {
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("wgpu-batchnorm probe"),
            entries: &[entry],
        });
        device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("wgpu-batchnorm probe"),
            layout: &layout,
            entries: &[wgpu::BindGroupEntry {
                binding: 0,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer,
                    offset: 0,
                    size,
                }),
            }],
        })
    });
    refused
}

/// What keeps `texture` from being used on `device`: it belongs to another device, or it was destroyed.
///
/// A view would be refused by the texture's own device, whose handler belongs to somebody else. Commands
/// that name the texture are refused by the encoder's device, and these are never submitted.
pub(crate) fn unusable_texture(
    device: &wgpu::Device,
    texture: &wgpu::Texture,
) -> Option<wgpu::Error> {
    let (_, refused) = watched(device, || {
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor {
            label: Some("wgpu-batchnorm probe"),
        });
        let whole = wgpu::TextureTransition {
            texture,
            selector: None,
            state: wgpu::TextureUses::RESOURCE,
        };
        encoder.transition_resources(std::iter::empty(), std::iter::once(whole));
        encoder.finish()
    });
    refused
}

/// What a call says whose buffer or texture of this name is refused with `error`.
pub(crate) fn unusable(device: &wgpu::Device, name: &'static str, error: wgpu::Error) -> BindError {
    match cause(device, error) {
        RunError::Device { reason } => BindError::Unusable { name, reason },
        lost_or_full => BindError::Run(lost_or_full),
    }
}

impl From<wgpu::Error> for RunError {
    fn from(error: wgpu::Error) -> Self {
        let reason = error.to_string();
        match error {
            wgpu::Error::OutOfMemory { .. } => Self::OutOfMemory { reason },
            _ => Self::Device { reason },
        }
    }
}
