//! One shape on an adapter, through the recording layer.

use wgpu_batchnorm::functional::{self, DeviceMoments};
use wgpu_batchnorm::{
    BackwardBuffers, Binding, Check, FrozenBackwardBuffers, HostGradients, InferenceBuffers, Plan,
    RunningStatistics, SavedStatistics, Tensor, TrainBuffers, wgpu,
};

use super::bandwidth::kernels::{self, Kernel};
use super::bandwidth::patterns::Pattern;
use super::device::GpuDevice;
use super::inputs::Inputs;
use super::results::Results;
use super::sample::Effort;
use super::subject::Subject;
use super::suite::Op;
use super::timer::{self, Timing};
use crate::failure::Failure;

/// The tensors of one shape on an adapter.
pub struct GpuSubject<'a> {
    device: &'a GpuDevice,
    inputs: &'a Inputs,
    plan: Plan,
    sets: Vec<Set>,
    small: Small,
    sum: Pattern,
}

struct Set {
    x: Tensor,
    dy: Tensor,
    y: Tensor,
    dx: Tensor,
}

/// What every set shares.
struct Small {
    affine: Tensor,
    /// Moved by training.
    running: Tensor,
    /// What inference and backward through frozen statistics read.
    frozen: Tensor,
    saved: Tensor,
    grads: Tensor,
    workspace: Tensor,
    sum: Tensor,
}

/// What is recorded for one set.
enum Work {
    Library(Vec<Binding>),
    Sum(Kernel),
}

impl Work {
    fn encode(&self, pass: &mut wgpu::ComputePass<'_>) {
        match self {
            Self::Library(bindings) => bindings.iter().for_each(|b| b.encode(pass)),
            Self::Sum(kernel) => kernel.encode(pass),
        }
    }
}

impl<'a> GpuSubject<'a> {
    pub fn new(
        device: &'a GpuDevice,
        inputs: &'a Inputs,
        sets: usize,
        sum: Pattern,
    ) -> Result<Self, Failure> {
        let gpu = &device.gpu;
        let shape = inputs.case.stored();
        let plan = gpu.context().plan(&inputs.config, &shape)?;
        let c = inputs.view.channels;
        let rows = |rows| Tensor::empty(gpu, &[rows, c]);
        let affine = [&inputs.weight[..], &inputs.bias].concat();
        let workspace = plan.workspace_bytes().div_ceil(4).max(1);
        let small = Small {
            affine: Tensor::upload(gpu, &[2, c], &affine)?,
            running: Tensor::upload(gpu, &[3, c], &statistics(&inputs.running))?,
            frozen: Tensor::upload(gpu, &[3, c], &statistics(&inputs.running))?,
            saved: rows(5)?,
            grads: rows(2)?,
            workspace: Tensor::empty(gpu, &[workspace as usize])?,
            sum: Tensor::empty(gpu, &[1])?,
        };
        let set = |_| -> Result<Set, Failure> {
            let empty = || Tensor::empty(gpu, &shape);
            Ok(Set {
                x: empty()?,
                dy: empty()?,
                y: empty()?,
                dx: empty()?,
            })
        };
        let sets = (0..sets).map(set).collect::<Result<Vec<_>, _>>()?;
        sets[0].x.write(&inputs.x)?;
        sets[0].dy.write(&inputs.dy)?;
        let copy = |encoder: &mut wgpu::CommandEncoder, from: &Tensor, to: &Tensor| {
            let (from, to) = (from.buffer(), to.buffer());
            encoder.copy_buffer_to_buffer(from, 0, to, 0, from.size());
        };
        device.submit(|encoder| {
            for set in &sets {
                // Memory is there once it was written to.
                encoder.clear_buffer(set.y.buffer(), 0, None);
                encoder.clear_buffer(set.dx.buffer(), 0, None);
            }
            for set in &sets[1..] {
                copy(encoder, &sets[0].x, &set.x);
                copy(encoder, &sets[0].dy, &set.dy);
            }
        });
        let subject = Self {
            device,
            inputs,
            plan,
            sets,
            small,
            sum,
        };
        // Backward reads what this saves.
        subject.run_once(Op::Train)?;
        device.wait()?;
        Ok(subject)
    }

    fn bind(&self, op: Op, set: &Set) -> Result<Work, Failure> {
        let small = &self.small;
        let all = |tensor: &'_ Tensor| tensor.buffer().clone();
        let (x, dy, y, dx) = (all(&set.x), all(&set.dy), all(&set.y), all(&set.dx));
        let (affine, grads) = (all(&small.affine), all(&small.grads));
        let (saved, workspace) = (all(&small.saved), all(&small.workspace));
        let (running, frozen) = (all(&small.running), all(&small.frozen));
        let train = || {
            self.plan.bind_train(&TrainBuffers {
                x: x.slice(..),
                y: y.slice(..),
                affine: Some(affine.slice(..)),
                running: Some(running.slice(..)),
                saved: saved.slice(..),
                workspace: workspace.slice(..),
            })
        };
        let backward = || {
            self.plan.bind_backward(&BackwardBuffers {
                x: x.slice(..),
                dy: dy.slice(..),
                dx: Some(dx.slice(..)),
                affine: Some(affine.slice(..)),
                saved: saved.slice(..),
                grads: Some(grads.slice(..)),
                accumulate: false,
                workspace: workspace.slice(..),
            })
        };
        Ok(Work::Library(match op {
            Op::Train => vec![train()?],
            Op::Backward => vec![backward()?],
            Op::Step => vec![train()?, backward()?],
            Op::Inference => vec![self.plan.bind_inference(&InferenceBuffers {
                x: x.slice(..),
                y: y.slice(..),
                affine: Some(affine.slice(..)),
                running: frozen.slice(..),
            })?],
            Op::Frozen => vec![self.plan.bind_backward_frozen(&FrozenBackwardBuffers {
                x: x.slice(..),
                dy: dy.slice(..),
                dx: Some(dx.slice(..)),
                affine: Some(affine.slice(..)),
                running: frozen.slice(..),
                grads: Some(grads.slice(..)),
                accumulate: false,
                workspace: workspace.slice(..),
            })?],
            // Those are not recorded through the library.
            Op::Moments | Op::Sum => vec![],
        }))
    }

    fn work(&self, op: Op, sets: &[Set]) -> Result<Vec<Work>, Failure> {
        if op != Op::Sum {
            return sets.iter().map(|set| self.bind(op, set)).collect();
        }
        let program = kernels::sum(self.device, self.sum, (self.inputs.x.len() / 4) as u32);
        let partials = program.partials(self.device);
        let result = self.small.sum.buffer();
        let bind = |set: &Set| {
            let buffers = [set.x.buffer(), &partials, result];
            Work::Sum(program.bind(self.device, &buffers))
        };
        Ok(sets.iter().map(bind).collect())
    }

    fn moments(&self, set: &Set) -> Result<DeviceMoments, Failure> {
        let axes = self.inputs.reduced_axes();
        let moments = functional::blocking::moments(&set.x, &axes, false, Check::Off)?;
        Ok(moments)
    }

    fn run_once(&self, op: Op) -> Result<(), Failure> {
        let work = self.work(op, &self.sets[..1])?;
        self.device.submit(|encoder| {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            work.iter().for_each(|work| work.encode(&mut pass));
        });
        Ok(())
    }
}

impl Subject for GpuSubject<'_> {
    fn sets(&self) -> usize {
        self.sets.len()
    }

    fn time(&mut self, op: Op, effort: Effort) -> Result<Timing, Failure> {
        let count = self.sets.len();
        if op == Op::Moments {
            let mut k = 0;
            let mut call = || {
                self.moments(&self.sets[k % count])?;
                k += 1;
                Ok(())
            };
            return timer::host(effort, &mut call, &|| self.device.wait());
        }
        let work = self.work(op, &self.sets)?;
        let bytes = op.ideal_bytes(self.inputs.case.bytes());
        timer::compute(self.device, effort, bytes, &|k, pass| {
            work[k % count].encode(pass);
        })
    }

    fn results(&mut self, op: Op) -> Result<Results, Failure> {
        let (set, small) = (&self.sets[0], &self.small);
        if op == Op::Moments {
            return Ok(Results {
                moments: Some(self.moments(set)?.read_blocking()?),
                ..Default::default()
            });
        }
        small.running.write(&statistics(&self.inputs.running))?;
        self.device.submit(|encoder| {
            for tensor in [&set.y, &set.dx, &small.grads, &small.sum] {
                encoder.clear_buffer(tensor.buffer(), 0, None);
            }
        });
        self.run_once(op)?;
        let mut results = Results::default();
        match op {
            Op::Sum => results.sum = small.sum.read_blocking()?.first().copied(),
            Op::Inference => results.y = set.y.read_blocking()?,
            Op::Train | Op::Step => {
                results.y = set.y.read_blocking()?;
                results.saved = self.saved()?;
                results.running = Some(self.running()?);
            }
            Op::Backward | Op::Frozen | Op::Moments => {}
        }
        if matches!(op, Op::Backward | Op::Frozen | Op::Step) {
            let [dweight, dbias] = self.rows(&small.grads)?;
            let dx = set.dx.read_blocking()?;
            results.gradients = HostGradients { dx, dweight, dbias };
        }
        Ok(results)
    }
}

impl GpuSubject<'_> {
    fn rows<const N: usize>(&self, tensor: &Tensor) -> Result<[Vec<f32>; N], Failure> {
        let values = tensor.read_blocking()?;
        let c = self.inputs.view.channels;
        Ok(std::array::from_fn(|row| values[row * c..][..c].to_vec()))
    }

    fn saved(&self) -> Result<SavedStatistics, Failure> {
        let [pivot, offset, inv_std, batch_mean, batch_var] = self.rows(&self.small.saved)?;
        Ok(SavedStatistics {
            pivot,
            offset,
            inv_std,
            batch_mean,
            batch_var,
        })
    }

    fn running(&self) -> Result<RunningStatistics, Failure> {
        let [mean, variance, batches] = self.rows(&self.small.running)?;
        Ok(RunningStatistics {
            mean,
            variance,
            batches: batches.into_iter().map(f32::to_bits).collect(),
        })
    }
}

/// The rows of a buffer of statistics; counts as bits.
fn statistics(r: &RunningStatistics) -> Vec<f32> {
    let batches = r.batches.iter().map(|&n| f32::from_bits(n));
    let values = r.mean.iter().chain(&r.variance).copied();
    values.chain(batches).collect()
}
