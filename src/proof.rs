//! What a device makes of f16 by its float instructions, compared with what is right.
//!
//! WGSL lets devices flush subnormal halves and round as they like. The kernels therefore read and round f16 by
//! integers until a device was seen to do the same with `unpack2x16float` and one f32 addition, which take less than
//! half of the instructions.

use half::f16;

use crate::context::Context;
use crate::error::{BindError, Error, RunError};
use crate::faults::{cause, watched};
use crate::operation::params::Params;
use crate::readback::read;
use crate::shaders::{Constants, proof_source};

const LABEL: &str = "wgpu-batchnorm proof of halves";
/// Invocations of a workgroup.
const WORKGROUP: u32 = 256;
/// Values of a load.
const VALUES: usize = 4;
/// What is stored for NaN.
const NAN: u16 = 0x7fc0;

impl Context {
    /// Sees what the device makes of f16, and lets what is bound from now on use its float instructions for reading and
    /// rounding, where these give what they should. Kernels of f16 then take less than half of the arithmetic; results
    /// have the same bits. Without this call, and on devices that flush subnormal halves or round otherwise, kernels use
    /// integers.
    ///
    /// It submits one small kernel of its own to `queue`, the queue that came with the device, and waits for it: on the
    /// calling thread on native targets; in browsers it yields. It takes about as long as compiling one pipeline.
    /// [`Gpu::new`](crate::Gpu::new) and [`Gpu::open`](crate::Gpu::open) do it by themselves. Call it before
    /// the warm-up of pipelines, since pipelines that were compiled before use integers.
    ///
    /// # Errors
    /// A device that was lost or that has no memory left. The context then works as it did before.
    pub async fn calibrate(&self, queue: &wgpu::Queue) -> Result<(), Error> {
        let right = match HalfKernel::new(self.device()) {
            Ok(kernel) => kernel.is_right(self.device(), queue).await?,
            // Some devices have no such instructions.
            Err(BindError::Pipeline { .. }) => false,
            Err(error) => return Err(error.into()),
        };
        self.trust_f16(right);
        Ok(())
    }

    /// Blocking twin of [`Context::calibrate`].
    ///
    /// # Errors
    /// As there.
    #[cfg(feature = "blocking")]
    pub fn calibrate_blocking(&self, queue: &wgpu::Queue) -> Result<(), Error> {
        pollster::block_on(self.calibrate(queue))
    }
}

/// Bits of f32: each half, and what is midway to the next with its two neighbours, of both signs; then what is special.
fn around_boundaries() -> Vec<u32> {
    let infinite = f16::INFINITY.to_bits();
    let mut values = Vec::with_capacity(8 * (usize::from(infinite) + 4));
    for half in 0..infinite {
        let here = f16::from_bits(half).to_f32();
        // Above the largest half lies what the next would be.
        let next = match half + 1 {
            next if next == infinite => 65_536.0,
            next => f16::from_bits(next).to_f32(),
        };
        let middle = (0.5 * (here + next)).to_bits();
        for bits in [here.to_bits(), middle - 1, middle, middle + 1] {
            values.extend([bits, bits | SIGN]);
        }
    }
    let special = [
        f32::INFINITY.to_bits(),
        f32::MAX.to_bits(),
        f32::MIN_POSITIVE.to_bits(),
        f32::MIN_POSITIVE.to_bits() - 1,
        1,
        f32::NAN.to_bits(),
        f32::INFINITY.to_bits() + 1,
        !SIGN,
    ];
    values.extend(special.iter().flat_map(|&bits| [bits, bits | SIGN]));
    values
}

const SIGN: u32 = 1 << 31;

/// The kernel that reads and rounds with the text of all kernels.
pub struct HalfKernel {
    pipeline: wgpu::ComputePipeline,
}

/// What it made of halves and of values.
pub struct Made {
    widened: Vec<u32>,
    rounded: Vec<u16>,
}

impl HalfKernel {
    /// Compiles it.
    ///
    /// # Errors
    /// A device that is lost or does not compile it.
    pub fn new(device: &wgpu::Device) -> Result<Self, BindError> {
        Self::of(device, proof_source())
    }

    /// The same of another text.
    ///
    /// # Errors
    /// As [`HalfKernel::new`].
    pub fn of(device: &wgpu::Device, source: String) -> Result<Self, BindError> {
        let constants = Constants {
            workgroup: WORKGROUP,
            ..Constants::default()
        };
        let constants = constants.of(&source);
        let (pipeline, error) = watched(device, || {
            let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(LABEL),
                source: wgpu::ShaderSource::Wgsl(source.into()),
            });
            device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(LABEL),
                layout: None,
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &constants,
                    ..Default::default()
                },
                cache: None,
            })
        });
        match error {
            None => Ok(Self { pipeline }),
            Some(error) => Err(match cause(device, error) {
                RunError::Device { reason } => BindError::Pipeline {
                    kernel: "proof of halves".to_owned(),
                    reason,
                },
                lost_or_full => BindError::Run(lost_or_full),
            }),
        }
    }

    /// Whether it reads every half, and rounds all around every boundary between halves, as the `half` crate does.
    ///
    /// # Errors
    /// As [`HalfKernel::run`].
    pub async fn is_right(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
    ) -> Result<bool, RunError> {
        let halves: Vec<u16> = (0..=u16::MAX).collect();
        let values = around_boundaries();
        let made = self.run(device, queue, &halves, &values).await?;
        Ok(made.reads_right(&halves) && made.rounds_right(&values))
    }

    /// Has it read `halves` and round `values`, given as bits, whole loads of both.
    ///
    /// # Errors
    /// A device that is lost or has no memory.
    ///
    /// # Panics
    /// Where there is a part of a load.
    pub async fn run(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        halves: &[u16],
        values: &[u32],
    ) -> Result<Made, RunError> {
        assert!(halves.len().is_multiple_of(VALUES) && values.len().is_multiple_of(VALUES));
        let loads = (halves.len() + values.len()) / VALUES;
        // The words of all loads, then their values.
        let words_bytes = (loads as u64 * 8).next_multiple_of(256);
        let bytes = words_bytes + loads as u64 * 16;
        let place = 2 * halves.len();
        let params = Params {
            count: (halves.len() / VALUES) as u32,
            ..bytemuck::Zeroable::zeroed()
        };
        let (data, refused) = watched(device, || {
            let buffer = |size, usage| {
                device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some(LABEL),
                    size,
                    usage: usage | wgpu::BufferUsages::COPY_DST,
                    mapped_at_creation: false,
                })
            };
            let storage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
            let data = buffer(bytes, storage);
            let uniform = buffer(size_of::<Params>() as u64, wgpu::BufferUsages::UNIFORM);
            queue.write_buffer(&uniform, 0, bytemuck::bytes_of(&params));
            queue.write_buffer(&data, 0, bytemuck::cast_slice(halves));
            let of_values = words_bytes + 4 * halves.len() as u64;
            queue.write_buffer(&data, of_values, bytemuck::cast_slice(values));
            let part = |offset, size| wgpu::BufferBinding {
                buffer: &data,
                offset,
                size: wgpu::BufferSize::new(size),
            };
            let entry = |binding, resource| wgpu::BindGroupEntry { binding, resource };
            let words = part(0, loads as u64 * 8);
            let values = part(words_bytes, loads as u64 * 16);
            let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(LABEL),
                layout: &self.pipeline.get_bind_group_layout(0),
                entries: &[
                    entry(0, uniform.as_entire_binding()),
                    entry(1, wgpu::BindingResource::Buffer(words)),
                    entry(2, wgpu::BindingResource::Buffer(values)),
                ],
            });
            let mut encoder = device.create_command_encoder(&Default::default());
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&self.pipeline);
            pass.set_bind_group(0, &bind_group, &[]);
            pass.dispatch_workgroups((loads as u32).div_ceil(WORKGROUP), 1, 1);
            drop(pass);
            queue.submit([encoder.finish()]);
            data
        });
        if let Some(refused) = refused {
            return Err(cause(device, refused));
        }
        let made: Vec<u8> = read(device, queue, &data, bytes, || Ok(())).await?;
        let (words, values) = made.split_at(words_bytes as usize);
        let rounded = &words[place..place + 2 * (loads * VALUES - halves.len())];
        Ok(Made {
            widened: bytemuck::pod_collect_to_vec(&values[..4 * halves.len()]),
            rounded: bytemuck::pod_collect_to_vec(rounded),
        })
    }
}

impl Made {
    /// Whether `halves` were read as they are; any NaN is one.
    pub fn reads_right(&self, halves: &[u16]) -> bool {
        let right = |(&half, &bits): (&u16, &u32)| {
            let (value, got) = (f16::from_bits(half).to_f32(), f32::from_bits(bits));
            value.to_bits() == bits || value.is_nan() && got.is_nan()
        };
        halves.len() == self.widened.len() && halves.iter().zip(&self.widened).all(right)
    }

    /// Whether `values`, given as bits, were rounded to the nearest even.
    pub fn rounds_right(&self, values: &[u32]) -> bool {
        let right = |(&bits, &got): (&u32, &u16)| match f32::from_bits(bits) {
            value if value.is_nan() => got == NAN,
            value => got == f16::from_f32(value).to_bits(),
        };
        values.len() == self.rounded.len() && values.iter().zip(&self.rounded).all(right)
    }
}
