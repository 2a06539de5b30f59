//! The suite `host`: what the library costs on the host, apart from the work itself.

use std::hint::black_box;
use std::time::Duration;

use wgpu_batchnorm::error::BindError;
use wgpu_batchnorm::{Binding, Config, Context, InferenceBuffers, Plan, Tensor, TrainBuffers};

use super::device::GpuDevice;
use super::report::HostRow;
use super::sample::Effort;
use super::timer;
use crate::failure::Failure;

/// Small, so that the work is soon done.
const SHAPE: [usize; 4] = [2, 16, 8, 8];

/// Rows of this suite; progress counts them.
pub const ROWS: usize = 8;

/// The buffers of one layer.
struct Layer {
    x: Tensor,
    y: Tensor,
    affine: Tensor,
    running: Tensor,
    saved: Tensor,
    workspace: Tensor,
}

/// Measures every cost for `each` and hands the rows out.
pub fn measure(
    device: &GpuDevice,
    each: Duration,
    add: &mut dyn FnMut(HostRow),
) -> Result<(), Failure> {
    let gpu = &device.gpu;
    let config = Config::pytorch();
    let plan = gpu.context().plan(&config, &SHAPE)?;
    let layer = Layer::new(device, &plan)?;
    let train = layer.train(&plan)?;
    let inference = layer.inference(&plan)?;
    let encoder = || device.device().create_command_encoder(&Default::default());
    let mut row = |what, call: &mut dyn FnMut() -> Result<(), Failure>| {
        let effort = Effort {
            budget: each,
            least: 3,
        };
        let timing = timer::host(effort, call, &|| device.wait())?;
        add(HostRow {
            device: gpu.info().name.clone(),
            what,
            summary: timing.summary,
        });
        Ok::<_, Failure>(())
    };
    row("plan", &mut || {
        black_box(gpu.context().plan(&config, &SHAPE)?);
        Ok(())
    })?;
    row("bind train", &mut || {
        black_box(layer.train(&plan)?);
        Ok(())
    })?;
    row("bind inference", &mut || {
        black_box(layer.inference(&plan)?);
        Ok(())
    })?;
    // 64 in one pass: what one more layer costs.
    let mut passes = 0;
    let mut commands = encoder();
    row("encode train, 64 times", &mut || {
        let mut pass = commands.begin_compute_pass(&Default::default());
        (0..64).for_each(|_| train.encode(&mut pass));
        drop(pass);
        passes += 1;
        if passes % 16 == 0 {
            // What was recorded is dropped, not run.
            commands = encoder();
        }
        Ok(())
    })?;
    row("submit nothing and wait", &mut || {
        gpu.queue().submit([encoder().finish()]);
        device.wait()
    })?;
    row("inference, submitted and waited for", &mut || {
        device.submit(|e| inference.encode(&mut e.begin_compute_pass(&Default::default())));
        device.wait()
    })?;
    row("train, submitted and waited for", &mut || {
        device.submit(|e| train.encode(&mut e.begin_compute_pass(&Default::default())));
        device.wait()
    })?;
    row("first training forward, compiling", &mut || {
        let context = Context::new(device.device())?;
        let plan = context.plan(&config, &SHAPE)?;
        let train = layer.train(&plan)?;
        device.submit(|e| train.encode(&mut e.begin_compute_pass(&Default::default())));
        device.wait()
    })
}

impl Layer {
    fn new(device: &GpuDevice, plan: &Plan) -> Result<Self, Failure> {
        let gpu = &device.gpu;
        let c = SHAPE[1];
        let values: Vec<f32> = (0..SHAPE.iter().product())
            .map(|i: usize| (i * 7919 % 1024) as f32 / 512.0)
            .collect();
        let words = plan.workspace_bytes().div_ceil(4).max(1);
        Ok(Self {
            x: Tensor::upload(gpu, &SHAPE, &values)?,
            y: Tensor::empty(gpu, &SHAPE)?,
            affine: Tensor::upload(gpu, &[2, c], &vec![1.0; 2 * c])?,
            running: Tensor::upload(gpu, &[3, c], &vec![1.0; 3 * c])?,
            saved: Tensor::empty(gpu, &[5, c])?,
            workspace: Tensor::empty(gpu, &[words as usize])?,
        })
    }

    fn train(&self, plan: &Plan) -> Result<Binding, BindError> {
        plan.bind_train(
            &TrainBuffers::new(self.x.slice(), self.saved.slice(), self.workspace.slice())
                .with_y(self.y.slice())
                .with_affine(self.affine.slice())
                .with_running(self.running.slice()),
        )
    }

    fn inference(&self, plan: &Plan) -> Result<Binding, BindError> {
        plan.bind_inference(
            &InferenceBuffers::new(self.x.slice(), self.running.slice())
                .with_y(self.y.slice())
                .with_affine(self.affine.slice()),
        )
    }
}
