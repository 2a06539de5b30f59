//! A kernel whose result shows that the device executed the submission.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::Error;
use crate::error::{BindError, RunError};
use crate::faults::{cause, watched};
use crate::gpu::Gpu;
use crate::tensor::Tensor;

const SHADER: &str = include_str!("../shaders/canary.wgsl");
/// Invocations of a workgroup, and words written: one workgroup.
const WORDS: usize = 64;
const CANARY: &str = "canary";

/// A small kernel whose result shows that the device executed the submission.
///
/// Some drivers accept work and execute nothing; results read back from them are whatever memory held.
/// Record a canary into the submission that is to be checked, and ask afterwards whether it ran. The functions
/// of [`checked`](crate::checked) do so by themselves.
#[derive(Debug)]
pub struct Canary {
    seed: u32,
    pattern: Tensor,
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
}

impl Canary {
    /// A canary for one submission on `gpu`: it uploads a seed that no other canary of this process has.
    ///
    /// # Errors
    /// A device that was lost, that has no memory left, or that does not compile the kernel.
    pub fn new(gpu: &Gpu) -> Result<Self, Error> {
        // Odd numbers times an odd number: 2³¹ canaries have seeds of their own.
        static RUNS: AtomicU32 = AtomicU32::new(1);
        let seed = RUNS
            .fetch_add(2, Ordering::Relaxed)
            .wrapping_mul(0x9e37_79b9);
        let pipeline = gpu.canary_pipeline()?;
        let pattern = Tensor::upload(gpu, &[WORDS], &[f32::from_bits(seed); WORDS])?;
        let (bind_group, error) = watched(gpu.device(), || {
            gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("wgpu-batchnorm canary"),
                layout: &pipeline.get_bind_group_layout(0),
                entries: &[wgpu::BindGroupEntry {
                    binding: 0,
                    resource: pattern.buffer().as_entire_binding(),
                }],
            })
        });
        if let Some(error) = error {
            return Err(cause(gpu.device(), error).into());
        }
        Ok(Self {
            seed,
            pattern,
            pipeline,
            bind_group,
        })
    }

    /// Records the kernel. Record each canary only once: a second run changes the pattern.
    pub fn encode(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        pass.dispatch_workgroups(1, 1, 1);
    }

    /// Whether the kernel ran: asked after the submission.
    ///
    /// # Errors
    /// A device that was lost or reported an error.
    pub async fn ran(&self) -> Result<bool, RunError> {
        // Subnormal floats are bits here, and never computed with.
        let held = self.pattern.read().await?.into_iter().map(f32::to_bits);
        let mixed = |k: u32| self.seed.wrapping_add(k).wrapping_mul(2_654_435_769) >> 8;
        Ok(held.eq((0..WORDS as u32).map(mixed)))
    }

    /// Blocking twin of [`Canary::ran`].
    ///
    /// # Errors
    /// As there.
    #[cfg(all(feature = "blocking", feature = "reference"))]
    pub fn ran_blocking(&self) -> Result<bool, RunError> {
        pollster::block_on(self.ran())
    }
}

/// The canary's pipeline, which a [`Gpu`] keeps.
pub(crate) fn pipeline(device: &wgpu::Device) -> Result<wgpu::ComputePipeline, BindError> {
    let (pipeline, error) = watched(device, || {
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("wgpu-batchnorm canary"),
            source: wgpu::ShaderSource::Wgsl(SHADER.into()),
        });
        device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("wgpu-batchnorm canary"),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: Default::default(),
            cache: None,
        })
    });
    match error {
        None => Ok(pipeline),
        Some(error) => Err(match cause(device, error) {
            RunError::Device { reason } => BindError::Pipeline {
                kernel: CANARY.to_owned(),
                reason,
            },
            lost_or_full => BindError::Run(lost_or_full),
        }),
    }
}
