//! One shape on an adapter, through the recording layer.

use wgpu_batchnorm::check::{Finding, POISON};
use wgpu_batchnorm::checked;
use wgpu_batchnorm::functional::{self, DeviceMoments};
use wgpu_batchnorm::internals::plan::Schedule;
use wgpu_batchnorm::{
    BackwardBuffers, Binding, Canary, Context, InferenceBuffers, Plan, StatisticsRows, Tensor,
    TrainBuffers, wgpu,
};

use super::bandwidth::kernels::{self, Kernel};
use super::bandwidth::patterns::Pattern;
use super::device::GpuDevice;
use super::gpu_tensors::{self, Set, Shared};
use super::inputs::Inputs;
use super::op::Op;
use super::results::Results;
use super::sample::Effort;
use super::subject::Subject;
use super::timer::{self, Timing};
use crate::failure::Failure;

/// An adapter with its tensors of one shape.
pub struct GpuSubject<'a> {
    device: &'a GpuDevice,
    inputs: &'a Inputs,
    plan: Plan,
    sets: Vec<Set>,
    shared: Shared,
    /// How the plain sum goes through memory.
    sum: Pattern,
}

/// What is recorded for one set.
pub enum Work {
    /// Passes of the library.
    Library(Vec<Binding>),
    /// The benchmark's own sum.
    Sum(Kernel),
}

impl Work {
    /// Records it.
    pub fn encode(&self, pass: &mut wgpu::ComputePass<'_>) {
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
        let context = device.gpu.context();
        let plan = context.plan(&inputs.config, &inputs.case.stored())?;
        let subject = Self {
            device,
            inputs,
            sets: gpu_tensors::sets(device, inputs, sets)?,
            shared: Shared::new(device, inputs, plan.workspace_bytes())?,
            plan,
            sum,
        };
        // Backward reads what this saves.
        subject.run_once(Op::Train)?;
        device.wait()?;
        Ok(subject)
    }

    /// Plans with the sizes of this context, which is of the same device.
    pub fn plan_with(&mut self, context: &Context) -> Result<(), Failure> {
        self.plan = context.plan(&self.inputs.config, &self.inputs.case.stored())?;
        self.shared
            .make_room(self.device, self.plan.workspace_bytes())?;
        Ok(())
    }

    /// How the work is cut.
    pub fn schedule(&self) -> &Schedule {
        self.plan.schedule()
    }

    /// What was laid on the device.
    pub fn inputs(&self) -> &'a Inputs {
        self.inputs
    }

    /// The work of `op` on each of the sets.
    pub fn works(&self, op: Op) -> Result<Vec<Work>, Failure> {
        self.work(op, &self.sets)
    }

    fn train(&self, set: &Set) -> Result<Binding, Failure> {
        Ok(self.plan.bind_train(
            &TrainBuffers::new(
                all(&set.x),
                all(&self.shared.saved),
                all(&self.shared.workspace),
            )
            .with_y(all(&set.y))
            .with_affine(all(&self.shared.affine))
            .with_running(all(&self.shared.running)),
        )?)
    }

    fn inference(&self, set: &Set) -> Result<Binding, Failure> {
        Ok(self.plan.bind_inference(
            &InferenceBuffers::new(all(&set.x), all(&self.shared.frozen))
                .with_y(all(&set.y))
                .with_affine(all(&self.shared.affine)),
        )?)
    }

    fn backward(&self, set: &Set) -> Result<Binding, Failure> {
        Ok(self.plan.bind_backward(
            &BackwardBuffers::new(
                all(&set.x),
                all(&set.dy),
                StatisticsRows::Saved(all(&self.shared.saved)),
                all(&self.shared.workspace),
            )
            .with_dx(all(&set.dx))
            .with_affine(all(&self.shared.affine))
            .with_grads(all(&self.shared.grads)),
        )?)
    }

    fn frozen(&self, set: &Set) -> Result<Binding, Failure> {
        Ok(self.plan.bind_backward(
            &BackwardBuffers::new(
                all(&set.x),
                all(&set.dy),
                StatisticsRows::Running(all(&self.shared.frozen)),
                all(&self.shared.workspace),
            )
            .with_dx(all(&set.dx))
            .with_affine(all(&self.shared.affine))
            .with_grads(all(&self.shared.grads)),
        )?)
    }

    /// The work of `op` on each of `sets`. Moments have none: the library submits them itself.
    fn work(&self, op: Op, sets: &[Set]) -> Result<Vec<Work>, Failure> {
        if op == Op::Sum {
            return Ok(self.sums(sets));
        }
        let bind = |set: &Set| {
            Ok(Work::Library(match op {
                Op::Train => vec![self.train(set)?],
                Op::Inference => vec![self.inference(set)?],
                Op::Backward => vec![self.backward(set)?],
                Op::Frozen => vec![self.frozen(set)?],
                Op::Step => vec![self.train(set)?, self.backward(set)?],
                Op::Moments | Op::Sum => vec![],
            }))
        };
        sets.iter().map(bind).collect()
    }

    fn sums(&self, sets: &[Set]) -> Vec<Work> {
        let vectors = (self.inputs.x.len() / 4) as u32;
        let program = kernels::sum(self.device, self.sum, vectors);
        let partials = program.partials(self.device);
        let result = self.shared.sum.buffer();
        let bind = |set: &Set| program.bind(self.device, &[set.x.buffer(), &partials, result]);
        sets.iter().map(|set| Work::Sum(bind(set))).collect()
    }

    fn moments(&self, set: &Set) -> Result<DeviceMoments, Failure> {
        let axes = self.inputs.reduced_axes();
        let moments = functional::moments(&set.x, &axes, false)?;
        Ok(moments)
    }

    /// Runs on the first set, and sees that the device ran it.
    fn run_once(&self, op: Op) -> Result<(), Failure> {
        let work = self.work(op, &self.sets[..1])?;
        let canary = Canary::new(&self.device.gpu)?;
        self.device.submit(|encoder| {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            work.iter().for_each(|work| work.encode(&mut pass));
            canary.encode(&mut pass);
        });
        match canary.ran_blocking()? {
            true => Ok(()),
            false => Err(Failure::Machine(Finding::unexecuted().to_string())),
        }
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
        let (set, shared) = (&self.sets[0], &self.shared);
        // Training has moved them, and may be none of the operations asked for.
        shared.reset(self.inputs)?;
        if op == Op::Moments {
            gpu_tensors::held(set, shared, self.inputs)?;
            let axes = self.inputs.reduced_axes();
            let (moments, report) = checked::moments_blocking(&set.x, &axes, false)?;
            report.enforce()?;
            return Ok(Results {
                moments: Some(moments.read_blocking()?),
                ..Default::default()
            });
        }
        gpu_tensors::held(set, shared, self.inputs)?;
        // Backward reads what training saved.
        let saved = matches!(op, Op::Train | Op::Step).then_some(&shared.saved);
        let outputs = [
            &set.y,
            &set.dx,
            &shared.grads,
            &shared.sum,
            &shared.workspace,
        ];
        for tensor in outputs.into_iter().chain(saved) {
            tensor.write(&vec![POISON; tensor.len()])?;
        }
        self.run_once(op)?;
        let mut results = Results::default();
        match op {
            Op::Sum => results.sum = shared.sum.read_blocking()?.first().copied(),
            Op::Inference => results.y = set.y.read_blocking()?,
            Op::Train | Op::Step => {
                results.y = set.y.read_blocking()?;
                results.saved = shared.read_saved()?;
                results.running = Some(shared.read_running()?);
            }
            Op::Backward | Op::Frozen | Op::Moments => {}
        }
        if matches!(op, Op::Backward | Op::Frozen | Op::Step) {
            results.gradients = shared.read_gradients(&set.dx)?;
        }
        Ok(results)
    }
}

fn all(tensor: &Tensor) -> wgpu::BufferSlice<'_> {
    tensor.slice()
}
