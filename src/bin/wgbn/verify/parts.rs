//! A batch in two parts, moments and sums merged on the device.

use wgpu_batchnorm::check::{self, Report, TrainResult};
use wgpu_batchnorm::{
    BackwardBuffers, Binding, Gpu, HostGradients, MomentsBuffers, MomentsRows, Plan,
    RunningStatistics, SavedStatistics, Tensor, TrainBuffers,
};

use crate::engine::Job;
use crate::failure::Failure;
use crate::forward::input;

/// Training forward and backward of `job`, stored as its configuration says, as its first sample and
/// all others, moments and sums merged on the device. `None` where there is one sample only, or
/// parameters or running statistics lack.
pub fn sweep(gpu: &Gpu, job: &Job<'_>, dy: &[f32]) -> Result<Option<Report>, Failure> {
    let (samples, c) = (job.shape[0], job.view.channels);
    let channel_axis = job.config.axis.rem_euclid(job.shape.len() as isize);
    if samples < 2 || channel_axis == 0 {
        return Ok(None);
    }
    let sample = job.x.len() / samples;
    let (x0, x1) = job.x.split_at(sample);
    let (dy0, dy1) = dy.split_at(sample);
    let part = |samples, x, dy| Part::new(gpu, job, samples, x, dy);
    let parts = [part(1, x0, dy0)?, part(samples - 1, x1, dy1)?];
    let total = job.view.count() as u64;

    let (Some(weight), Some(bias), Some(before)) =
        (&job.state.weight, &job.state.bias, &job.state.running)
    else {
        return Ok(None);
    };
    let affine = Tensor::upload(gpu, &[2, c], &[&weight[..], &bias[..]].concat())?;
    let running = upload_running(gpu, before)?;

    let [first, second] = &parts;
    let merged = |part: &Part| part.plan.view().count() as u64;
    let plan = &first.plan;
    let mut bindings = vec![
        first.moments()?,
        second.moments()?,
        plan.bind_merge_moments(&first.rows(merged(first)), &second.rows(merged(second)))?,
    ];
    for (part, running) in parts.iter().zip([Some(&running), None]) {
        bindings.push(part.train(&affine, running, &first.rows(total))?);
    }
    let sums = &first.grads;
    for (part, accumulate) in parts.iter().zip([false, true]) {
        let buffers = part.backward(&affine, sums);
        let buffers = BackwardBuffers {
            accumulate,
            ..buffers
        };
        bindings.push(part.plan.bind_backward(&buffers)?);
    }
    for part in &parts {
        let buffers = BackwardBuffers {
            dx: Some(part.dx.buffer().slice(..)),
            ..part.backward(&affine, sums)
        };
        bindings.push(part.plan.bind_backward_with(&buffers, total)?);
    }
    submit(gpu, &bindings);

    let joined = |tensor: fn(&Part) -> &Tensor| -> Result<Vec<f32>, Failure> {
        let mut values = tensor(first).read_blocking()?;
        values.extend(tensor(second).read_blocking()?);
        Ok(values)
    };
    let after = running_of(&running)?;
    let moved = job.config.running.map(|running| (before, &after, running));
    let result = TrainResult {
        y: &joined(|part| &part.y)?,
        saved: &saved_of(&first.saved)?,
        running: moved,
    };
    let sums = rows_of(sums, 2)?;
    let gradients = HostGradients {
        dx: joined(|part| &part.dx)?,
        dweight: sums[0].clone(),
        dbias: sums[1].clone(),
    };
    // As they are stored.
    let (x, dy) = (joined(|part| &part.x)?, joined(|part| &part.dy)?);
    let input = check::Input {
        x: &x,
        epilogue: check::Epilogue {
            element: job.config.element,
            ..Default::default()
        },
        ..input(job)
    };
    let mut report = check::train_forward(&input, &result);
    let backward = check::backward(&input, &dy, &gradients, None);
    report.findings.extend(backward.findings);
    Ok(Some(report))
}

/// Samples of a batch with all that they need.
struct Part {
    plan: Plan,
    x: Tensor,
    dy: Tensor,
    y: Tensor,
    dx: Tensor,
    moments: Tensor,
    grads: Tensor,
    saved: Tensor,
    workspace: Tensor,
}

impl Part {
    fn new(
        gpu: &Gpu,
        job: &Job<'_>,
        samples: usize,
        x: &[f32],
        dy: &[f32],
    ) -> Result<Self, Failure> {
        let (shape, c) = ([&[samples], &job.shape[1..]].concat(), job.view.channels);
        let plan = gpu.context().plan(&job.config, &shape)?;
        Ok(Self {
            x: Tensor::upload_as(gpu, &shape, job.config.element, x)?,
            dy: Tensor::upload_as(gpu, &shape, job.config.element, dy)?,
            y: Tensor::empty_as(gpu, &shape, job.config.element)?,
            dx: Tensor::empty_as(gpu, &shape, job.config.element)?,
            moments: Tensor::empty(gpu, &[3, c])?,
            grads: Tensor::empty(gpu, &[2, c])?,
            saved: Tensor::empty(gpu, &[5, c])?,
            workspace: Tensor::empty(gpu, &[plan.workspace_bytes() as usize / 4])?,
            plan,
        })
    }

    fn rows(&self, count: u64) -> MomentsRows<'_> {
        MomentsRows {
            rows: self.moments.buffer().slice(..),
            count,
        }
    }

    fn moments(&self) -> Result<Binding, Failure> {
        Ok(self.plan.bind_moments(&MomentsBuffers {
            x: self.x.buffer().slice(..),
            moments: self.moments.buffer().slice(..),
            workspace: self.workspace.buffer().slice(..),
        })?)
    }

    fn train(
        &self,
        affine: &Tensor,
        running: Option<&Tensor>,
        moments: &MomentsRows<'_>,
    ) -> Result<Binding, Failure> {
        let buffers = TrainBuffers {
            x: self.x.buffer().slice(..),
            y: Some(self.y.buffer().slice(..)),
            residual: None,
            affine: Some(affine.buffer().slice(..)),
            running: running.map(|rows| rows.buffer().slice(..)),
            saved: self.saved.buffer().slice(..),
            workspace: self.workspace.buffer().slice(..),
        };
        Ok(self.plan.bind_train_with(&buffers, moments)?)
    }

    fn backward<'a>(&'a self, affine: &'a Tensor, sums: &'a Tensor) -> BackwardBuffers<'a> {
        BackwardBuffers {
            x: self.x.buffer().slice(..),
            dy: self.dy.buffer().slice(..),
            dx: None,
            residual: None,
            dresidual: None,
            affine: Some(affine.buffer().slice(..)),
            saved: self.saved.buffer().slice(..),
            grads: Some(sums.buffer().slice(..)),
            accumulate: false,
            workspace: self.workspace.buffer().slice(..),
        }
    }
}

pub fn submit(gpu: &Gpu, bindings: &[Binding]) {
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        bindings
            .iter()
            .for_each(|binding| binding.encode(&mut pass));
    }
    gpu.queue().submit([encoder.finish()]);
}

fn rows_of(tensor: &Tensor, rows: usize) -> Result<Vec<Vec<f32>>, Failure> {
    let values = tensor.read_blocking()?;
    let len = values.len() / rows;
    Ok(values.chunks_exact(len).map(<[f32]>::to_vec).collect())
}

/// Running statistics as the kernels keep them.
pub fn upload_running(gpu: &Gpu, running: &RunningStatistics) -> Result<Tensor, Failure> {
    let counts: Vec<f32> = running.batches.iter().map(|&k| f32::from_bits(k)).collect();
    let rows = [&running.mean[..], &running.variance, &counts].concat();
    Ok(Tensor::upload(gpu, &[3, running.mean.len()], &rows)?)
}

pub fn running_of(tensor: &Tensor) -> Result<RunningStatistics, Failure> {
    let mut rows = rows_of(tensor, 3)?.into_iter();
    let mut next = || rows.next().unwrap_or_default();
    Ok(RunningStatistics {
        mean: next(),
        variance: next(),
        batches: next().into_iter().map(f32::to_bits).collect(),
    })
}

pub fn saved_of(tensor: &Tensor) -> Result<SavedStatistics, Failure> {
    let mut rows = rows_of(tensor, 5)?.into_iter();
    let mut next = || rows.next().unwrap_or_default();
    Ok(SavedStatistics {
        pivot: next(),
        offset: next(),
        inv_std: next(),
        batch_mean: next(),
        batch_var: next(),
    })
}
