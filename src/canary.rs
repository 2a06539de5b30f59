//! Whether a device does what it is told: patterns that outputs hold before a run, and a kernel whose
//! result shows that the submission was executed.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::check::{CANARY, Finding, POISON, Report};
use crate::error::Error;
use crate::error::{BindError, RunError};
use crate::faults::{cause, watched};
use crate::gpu::Gpu;
use crate::tensor::Tensor;

const SHADER: &str = include_str!("../shaders/canary.wgsl");
/// Invocations of a workgroup, and words written: one workgroup.
const WORDS: usize = 64;

/// A small kernel whose result shows that the device executed the submission.
///
/// Some drivers accept work and execute nothing; results read back from them are whatever memory held.
/// Record a canary into the submission that is to be checked, and ask for its finding afterwards. Layers
/// and functional forms do so by themselves where they check.
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

    /// Call this after the submission. It returns `None` if the kernel ran, and otherwise a finding that
    /// fails, of a tensor named "canary".
    ///
    /// # Errors
    /// A device that was lost or reported a fault.
    pub async fn finding(&self) -> Result<Option<Finding>, RunError> {
        let held = self.pattern.read().await?;
        // Subnormal floats are bits here, and never computed with.
        let held: Vec<f32> = held.into_iter().map(|v| v.to_bits() as f32).collect();
        let mixed = |k: u32| self.seed.wrapping_add(k).wrapping_mul(2_654_435_769) >> 8;
        let given: Vec<f32> = (0..WORDS as u32).map(|k| mixed(k) as f32).collect();
        Ok(Finding::held(CANARY, &held, &given))
    }

    /// Blocking twin of [`Canary::finding`].
    ///
    /// # Errors
    /// As there.
    #[cfg(feature = "blocking")]
    pub fn finding_blocking(&self) -> Result<Option<Finding>, RunError> {
        pollster::block_on(self.finding())
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

/// What a checked run is surrounded by.
#[derive(Debug)]
pub(crate) struct Proof {
    pub(crate) canary: Canary,
    findings: Vec<Finding>,
}

impl Proof {
    /// Fills what the run will write with [`POISON`], and reads back whether it is there.
    pub(crate) async fn before(
        gpu: &Gpu,
        outputs: &[(&'static str, &Tensor)],
    ) -> Result<Self, Error> {
        let canary = Canary::new(gpu)?;
        let mut findings = Vec::new();
        for (name, tensor) in outputs {
            let pattern = vec![POISON; tensor.len()];
            tensor.write(&pattern)?;
            findings.extend(Finding::held(name, &tensor.read().await?, &pattern));
        }
        Ok(Self { canary, findings })
    }

    /// Adds to a report the canary's finding, in front, since of findings that are equally bad the last is
    /// told, and what did not hold its pattern before the run.
    pub(crate) async fn complete(self, judged: Report) -> Result<Report, Error> {
        let mut findings = Vec::from_iter(self.canary.finding().await?);
        findings.extend(judged.findings);
        findings.extend(self.findings);
        Ok(Report { findings })
    }
}
