//! The recording layer: the caller's buffers in, dispatches into the caller's pass.

use wgpu::BufferSlice;

use crate::bindings::{Binding, Epilogue, Slot, Stage, Step, bind};
use crate::config::{Affine, Config};
use crate::context::Context;
use crate::error::{BindError, ConfigError, PlanError};
use crate::params::flags;
use crate::plan::describe::describe;
use crate::plan::{self, Needs, Schedule};
use crate::shaders::{Kernel, Role};
use crate::shape::View;

/// Every operation of one configuration on one shape.
///
/// `bind_*` checks the caller's buffers and makes bind groups; the [`Binding`] it gives records.
/// Buffers may be slices of one pooled buffer. C is the channel count; per-channel values are f32.
/// Tensors hold the configuration's [`Element`](crate::Element): [`Plan::tensor_bytes`], whole words.
#[derive(Clone, Debug)]
pub struct Plan {
    context: Context,
    config: Config,
    schedule: Schedule,
}

/// Every operation there is, training and backward among them.
pub(crate) const NEEDS: Needs = Needs {
    what: "saved statistics",
    rows: 5,
    workspace: true,
};

/// Buffers of training forward.
#[derive(Clone, Copy, Debug)]
pub struct TrainBuffers<'a> {
    /// Input, read.
    pub x: BufferSlice<'a>,
    /// Output in the input's shape, written; `None` puts it over `x`, after
    /// which there is no backward through these statistics.
    pub y: Option<BufferSlice<'a>>,
    /// What is added before the activation, in the input's shape, read. Not `x` itself: browsers refuse
    /// bindings that overlap.
    pub residual: Option<BufferSlice<'a>>,
    /// weight and bias, `[2][C]`, read; given unless the configuration has neither.
    pub affine: Option<BufferSlice<'a>>,
    /// mean, variance and batches (u32), `[3][C]`, moved; given where the configuration keeps
    /// running statistics.
    pub running: Option<BufferSlice<'a>>,
    /// pivot, offset, inv_std, batch_mean, batch_var (biased), `[5][C]`, written.
    pub saved: BufferSlice<'a>,
    /// Scratch of [`Plan::workspace_bytes`].
    pub workspace: BufferSlice<'a>,
}

/// Buffers of inference.
#[derive(Clone, Copy, Debug)]
pub struct InferenceBuffers<'a> {
    /// Input, read.
    pub x: BufferSlice<'a>,
    /// Output in the input's shape, written; `None` puts it over `x`.
    pub y: Option<BufferSlice<'a>>,
    /// What is added before the activation, in the input's shape, read.
    pub residual: Option<BufferSlice<'a>>,
    /// weight and bias, `[2][C]`, read; given unless the configuration has neither.
    pub affine: Option<BufferSlice<'a>>,
    /// mean, variance and batches, `[3][C]`, read.
    pub running: BufferSlice<'a>,
}

/// Buffers of backward through batch statistics.
#[derive(Clone, Copy, Debug)]
pub struct BackwardBuffers<'a> {
    /// The input of the forward pass, read.
    pub x: BufferSlice<'a>,
    /// Upstream gradient, read.
    pub dy: BufferSlice<'a>,
    /// Gradient of the input, written; may be skipped.
    pub dx: Option<BufferSlice<'a>>,
    /// The residual of the forward pass, read: it must be given where forward had one and there is an
    /// activation, whose place it decides.
    pub residual: Option<BufferSlice<'a>>,
    /// Gradient of the residual, written; may be skipped.
    pub dresidual: Option<BufferSlice<'a>>,
    /// weight and bias, `[2][C]`, read; given unless the configuration has neither.
    pub affine: Option<BufferSlice<'a>>,
    /// What training forward saved, `[5][C]`, read.
    pub saved: BufferSlice<'a>,
    /// dweight and dbias, `[2][C]`, written or added into; may be skipped.
    pub grads: Option<BufferSlice<'a>>,
    /// Whether gradients are added to what `grads` holds, which must be given then.
    pub accumulate: bool,
    /// Scratch of [`Plan::workspace_bytes`].
    pub workspace: BufferSlice<'a>,
}

/// Buffers of backward through frozen statistics.
#[derive(Clone, Copy, Debug)]
pub struct FrozenBackwardBuffers<'a> {
    /// The input of the forward pass, read.
    pub x: BufferSlice<'a>,
    /// Upstream gradient, read.
    pub dy: BufferSlice<'a>,
    /// Gradient of the input, written; may be skipped.
    pub dx: Option<BufferSlice<'a>>,
    /// The residual of the forward pass, read; without an activation it is not needed.
    pub residual: Option<BufferSlice<'a>>,
    /// Gradient of the residual, written; may be skipped.
    pub dresidual: Option<BufferSlice<'a>>,
    /// weight and bias, `[2][C]`, read; given unless the configuration has neither.
    pub affine: Option<BufferSlice<'a>>,
    /// The statistics that inference used, `[3][C]`, read.
    pub running: BufferSlice<'a>,
    /// dweight and dbias, `[2][C]`, written or added into; may be skipped.
    pub grads: Option<BufferSlice<'a>>,
    /// Whether gradients are added to what `grads` holds, which must be given then.
    pub accumulate: bool,
    /// Scratch of [`Plan::workspace_bytes`].
    pub workspace: BufferSlice<'a>,
}

/// Buffers of the first half of training forward: the moments of a part of a batch.
#[derive(Clone, Copy, Debug)]
pub struct MomentsBuffers<'a> {
    /// Input, read.
    pub x: BufferSlice<'a>,
    /// pivot, offset and m2, `[3][C]`, written: [`Moments::from_rows`](crate::Moments::from_rows)
    /// reads them.
    pub moments: BufferSlice<'a>,
    /// Scratch of [`Plan::workspace_bytes`].
    pub workspace: BufferSlice<'a>,
}

/// Moments on the device.
#[derive(Clone, Copy, Debug)]
pub struct MomentsRows<'a> {
    /// pivot, offset and m2, `[3][C]`.
    pub rows: BufferSlice<'a>,
    /// Values per channel behind them.
    pub count: u64,
}

impl Context {
    /// Plans every operation of `config` on tensors of `shape`.
    ///
    /// Planning is arithmetic; what is slow to make, the pipelines, the context keeps.
    ///
    /// A tensor larger than one storage binding is bound in pieces, a dispatch each; the caller's
    /// buffers and results are the same.
    ///
    /// ```
    /// use wgpu_batchnorm::{BatchNorm, Check, Config, Gpu, Mode, Tensor, wgpu};
    ///
    /// # let adapters = wgpu_batchnorm::adapters_blocking();
    /// # let adapter = adapters.first().expect("an adapter");
    /// let request = wgpu::DeviceDescriptor {
    ///     required_limits: wgpu::Limits {
    ///         max_storage_buffer_binding_size: 16 << 10, // most have 128 MiB and more
    ///         ..adapter.limits()
    ///     },
    ///     ..Default::default()
    /// };
    /// let (device, queue) = pollster::block_on(adapter.request_device(&request))?;
    /// let gpu = Gpu::with_device(device, queue)?;
    ///
    /// let shape = [8, 4, 33, 33]; // 136 KiB
    /// let plan = gpu.context().plan(&Config::pytorch(), &shape)?;
    /// assert!(plan.schedule().pieces.len() > 8);
    ///
    /// let mut layer = BatchNorm::new(&gpu, 4, Config::pytorch())?;
    /// layer.set_check(Check::Enforce);
    /// let values: Vec<f32> = (0..8 * 4 * 33 * 33).map(|i| 1e3 + (i % 13) as f32).collect();
    /// layer.forward_blocking(&Tensor::upload(&gpu, &shape, &values)?, Mode::Train)?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// A shape or options that are no batch normalization's, or scratch or statistics that no
    /// binding can hold.
    pub fn plan(&self, config: &Config, shape: &[usize]) -> Result<Plan, PlanError> {
        config.validate()?;
        let view = View::new(shape, config.axis)?;
        let schedule = plan::plan_dense(view, config.element, &NEEDS, self.machine())?;
        Ok(Plan {
            context: self.clone(),
            config: *config,
            schedule,
        })
    }
}

impl Plan {
    /// The view planned for.
    pub fn view(&self) -> View {
        self.schedule.view
    }

    /// How each dispatch divides the work.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// What was chosen for each operation, and why, a line each.
    pub fn describe(&self) -> String {
        describe(&self.schedule, self.context.machine())
    }

    /// Scratch that any one operation of this plan needs, in bytes.
    pub fn workspace_bytes(&self) -> u64 {
        self.schedule.workspace_bytes()
    }

    /// Bytes of a tensor in the input's shape.
    pub fn tensor_bytes(&self) -> u64 {
        self.config.element.bytes_of(self.view().len())
    }

    /// Bytes of `rows` rows of per-channel values.
    fn rows(&self, rows: u64) -> u64 {
        self.view().channels() as u64 * rows * 4
    }

    /// Binds training forward: one dispatch or two, as [`Plan::describe`] says; two for each piece
    /// where one binding does not hold the tensor; so below.
    ///
    /// # Errors
    /// Options that do not allow training on this shape; buffers that do not fit.
    pub fn bind_train(&self, b: &TrainBuffers<'_>) -> Result<Binding, BindError> {
        self.config.validate_training(&self.view())?;
        let count = self.view().count() as u64;
        let mut slots = self.train_slots(b)?;
        slots.extend(self.running(b.running)?);
        let steps = match self.schedule.resident_train {
            Some(grid) => self.train_steps(Kernel::TrainResident, Stage::Resident(grid), count, b),
            None => {
                let mut steps = self.steps(Kernel::Moments, Stage::Reduce);
                steps.extend(self.train_steps(Kernel::Normalize, Stage::Map, count, b));
                steps
            }
        };
        bind(&self.context, &self.schedule, &steps, &slots)
    }

    /// Binds the first half of training forward, the moments of this part of a batch: a dispatch for
    /// each piece, and one that merges.
    ///
    /// Moments of all parts, merged by [`Plan::bind_merge_moments`] or, on the host, by
    /// [`Moments::merge`](crate::Moments::merge), go to [`Plan::bind_train_with`] of each part.
    ///
    /// # Errors
    /// Buffers that do not fit.
    pub fn bind_moments(&self, b: &MomentsBuffers<'_>) -> Result<Binding, BindError> {
        let slots = [
            self.tensor(Role::X, "x", b.x),
            self.slot(Role::Statistics, "moments", b.moments, self.rows(3)),
            self.workspace(b.workspace),
        ];
        let mut steps = self.steps(Kernel::Moments, Stage::Reduce);
        steps.extend(self.steps(Kernel::MomentsFinish, Stage::Merge));
        bind(&self.context, &self.schedule, &steps, &slots)
    }

    /// Binds the merging of `other`'s moments into `into`'s, whose count is the sum of both
    /// afterwards: one dispatch. Chan's formula; the pivots stay those of `into`.
    ///
    /// Each merge rounds once. Of dozens of parts, merge pairs, then pairs of those, as
    /// [`Moments::merge_all`](crate::Moments::merge_all) does: a chain of 64 left the bounds.
    ///
    /// # Errors
    /// A count of zero, or more than 64 bits hold; buffers that do not fit.
    pub fn bind_merge_moments(
        &self,
        into: &MomentsRows<'_>,
        other: &MomentsRows<'_>,
    ) -> Result<Binding, BindError> {
        for rows in [into, other] {
            if rows.count == 0 {
                return Err(ConfigError::Count { got: 0, least: 1 }.into());
            }
        }
        if into.count.checked_add(other.count).is_none() {
            return Err(BindError::Counts);
        }
        let slots = [
            self.slot(Role::Statistics, "into", into.rows, self.rows(3)),
            self.slot(Role::Given, "other", other.rows, self.rows(3)),
        ];
        let mut steps = self.schedule.steps(Kernel::MomentsMerge, Stage::Merge);
        for step in &mut steps {
            step.params = step.params.with_count(into.count);
            step.params.given_total = other.count as f32;
        }
        bind(&self.context, &self.schedule, &steps, &slots)
    }

    /// Binds the second half of training forward with the moments of the whole batch: one dispatch for
    /// each piece. Running statistics move as by that batch: a copy of them goes to one part alone,
    /// `None` to the others that share it.
    ///
    /// # Errors
    /// As [`Plan::bind_train`]; a count below this part's own.
    pub fn bind_train_with(
        &self,
        b: &TrainBuffers<'_>,
        moments: &MomentsRows<'_>,
    ) -> Result<Binding, BindError> {
        let view = self.view();
        self.config.validate_training_part(&view, moments.count)?;
        let mut slots = self.train_slots(b)?;
        slots.push(self.slot(Role::Given, "moments", moments.rows, self.rows(3)));
        if b.running.is_some() {
            slots.extend(self.running(b.running)?);
        }
        let mut steps = self.train_steps(Kernel::Normalize, Stage::Map, moments.count, b);
        for step in &mut steps {
            step.params = step.params.with_flag(flags::FROM_MOMENTS, true);
        }
        bind(&self.context, &self.schedule, &steps, &slots)
    }

    fn train_slots<'a>(&self, b: &TrainBuffers<'a>) -> Result<Vec<Slot<'a>>, BindError> {
        let mut slots = vec![
            self.tensor(Role::X, "x", b.x),
            self.slot(Role::Saved, "saved", b.saved, self.rows(5)),
            self.workspace(b.workspace),
        ];
        slots.extend(self.output(b.y, b.residual));
        slots.extend(self.affine(b.affine)?);
        Ok(slots)
    }

    /// What writes y, the saved and, where they are given, the running statistics.
    fn train_steps(
        &self,
        kernel: Kernel,
        stage: Stage,
        count: u64,
        b: &TrainBuffers<'_>,
    ) -> Vec<Step> {
        let mut steps = self.steps(kernel, stage);
        for step in &mut steps {
            step.params = step.params.with_count(count);
            if b.running.is_some() {
                step.params = step.params.with_running(&self.config, count);
            }
        }
        self.activate(&mut steps, b.residual.is_some(), false);
        steps
    }

    /// Binds inference: one dispatch for each piece.
    ///
    /// # Errors
    /// A configuration without running statistics; buffers that do not fit.
    pub fn bind_inference(&self, b: &InferenceBuffers<'_>) -> Result<Binding, BindError> {
        self.needs_running()?;
        let mut slots = vec![
            self.tensor(Role::X, "x", b.x),
            self.slot(Role::Statistics, "running", b.running, self.rows(3)),
        ];
        slots.extend(self.output(b.y, b.residual));
        slots.extend(self.affine(b.affine)?);
        let mut steps = self.steps(Kernel::Inference, Stage::Apply);
        self.activate(&mut steps, b.residual.is_some(), false);
        bind(&self.context, &self.schedule, &steps, &slots)
    }

    /// Binds backward through batch statistics: one dispatch or two, as [`Plan::describe`] says; two
    /// without `dx`, which is the first half of backward on a part of a batch: the sums of its parts,
    /// `grads`, add up to those of the whole (`accumulate` from its second part on; each rounds once, so of
    /// more than 32 parts add up several `grads`).
    ///
    /// # Errors
    /// Options that do not allow training on this shape; `accumulate` without `grads`; buffers that do
    /// not fit.
    pub fn bind_backward(&self, b: &BackwardBuffers<'_>) -> Result<Binding, BindError> {
        let view = self.view();
        // What a part's own count allows matters where its own statistics were used.
        let count = if b.dx.is_some() {
            view.count()
        } else {
            view.count().max(2)
        };
        self.config.validate_training_part(&view, count as u64)?;
        if b.accumulate {
            given("grads", b.grads, true)?;
        }
        let slots = self.backward_slots(b)?;
        let resident = self.schedule.resident_backward.filter(|_| b.dx.is_some());
        let sums = || self.steps(Kernel::BackwardSums, Stage::Reduce);
        let (mut steps, kernel, stage) = match (resident, b.dx) {
            (Some(grid), _) => (Vec::new(), Kernel::BackwardResident, Stage::Resident(grid)),
            (None, Some(_)) => (sums(), Kernel::BackwardDx, Stage::Map),
            (None, None) => (sums(), Kernel::Gradients, Stage::Merge),
        };
        steps.extend(self.gradient_steps(kernel, stage, b.grads.is_some(), b.accumulate));
        self.activate(&mut steps, b.residual.is_some(), b.dresidual.is_some());
        bind(&self.context, &self.schedule, &steps, &slots)
    }

    /// Binds the second half of backward on a part of a batch of `count` values per channel: `dx` from
    /// the sums of the whole batch, which `grads` holds and keeps. One dispatch for each piece. `saved` is that of the
    /// whole batch; `dresidual` is the first half's to write.
    ///
    /// ```
    /// use wgpu_batchnorm::{Affine, BackwardBuffers, Config, MomentsBuffers, MomentsRows, Tensor};
    /// # use wgpu_batchnorm::TrainBuffers;
    /// # let gpu = wgpu_batchnorm::Gpu::new_blocking(&wgpu_batchnorm::Adapter::Best)?;
    /// # let upload = |shape: &[usize], values: &[f32]| Tensor::upload(&gpu, shape, values);
    /// # let config = Config::pytorch().with_affine(Affine::None).without_running();
    /// // Two parts of a batch, [2, 1] each: x is -3, -1 and 1, 3; dy is 1, 0 and 0, 0.
    /// let plan = gpu.context().plan(&config, &[2, 1])?;
    /// let x = [upload(&[2, 1], &[-3.0, -1.0])?, upload(&[2, 1], &[1.0, 3.0])?];
    /// let dy = [upload(&[2, 1], &[1.0, 0.0])?, upload(&[2, 1], &[0.0, 0.0])?];
    /// # let empty = |shape: &[usize]| Tensor::empty(&gpu, shape);
    /// # let (dx, y) = ([empty(&[2, 1])?, empty(&[2, 1])?], empty(&[2, 1])?);
    /// # let (sums, saved, moments) = (empty(&[2, 1])?, empty(&[5, 1])?, [empty(&[3, 1])?, empty(&[3, 1])?]);
    /// # let workspace = empty(&[plan.workspace_bytes() as usize / 4])?;
    /// # let rows = |k: usize, count| MomentsRows { rows: moments[k].buffer().slice(..), count };
    /// # let mut bindings = Vec::new();
    /// # for k in 0..2 {
    /// #     bindings.push(plan.bind_moments(&MomentsBuffers {
    /// #         x: x[k].buffer().slice(..),
    /// #         moments: moments[k].buffer().slice(..),
    /// #         workspace: workspace.buffer().slice(..),
    /// #     })?);
    /// # }
    /// # bindings.push(plan.bind_merge_moments(&rows(0, 2), &rows(1, 2))?);
    /// # for x in &x {
    /// #     bindings.push(plan.bind_train_with(&TrainBuffers {
    /// #         x: x.buffer().slice(..),
    /// #         y: Some(y.buffer().slice(..)),
    /// #         residual: None,
    /// #         affine: None,
    /// #         running: None,
    /// #         saved: saved.buffer().slice(..),
    /// #         workspace: workspace.buffer().slice(..),
    /// #     }, &rows(0, 4))?);
    /// # }
    /// // Forward in parts is `bind_moments` and `bind_train_with`. Then, of every part:
    /// let part = |k: usize| BackwardBuffers {
    ///     x: x[k].buffer().slice(..),
    ///     dy: dy[k].buffer().slice(..),
    ///     dx: None,
    ///     saved: saved.buffer().slice(..), // of the whole batch
    ///     grads: Some(sums.buffer().slice(..)),
    ///     accumulate: k > 0,
    ///     workspace: workspace.buffer().slice(..),
    ///     # residual: None,
    ///     # dresidual: None,
    ///     # affine: None,
    ///     // ...
    /// };
    /// for k in 0..2 {
    ///     bindings.push(plan.bind_backward(&part(k))?);
    /// }
    /// for k in 0..2 {
    ///     let dx = Some(dx[k].buffer().slice(..));
    ///     let last = BackwardBuffers { dx, accumulate: false, ..part(k) };
    ///     bindings.push(plan.bind_backward_with(&last, 4)?); // 4 values a channel in all
    /// }
    /// # let mut encoder = gpu.device().create_command_encoder(&Default::default());
    /// # {
    /// #     let mut pass = encoder.begin_compute_pass(&Default::default());
    /// #     bindings.iter().for_each(|binding| binding.encode(&mut pass));
    /// # }
    /// # gpu.queue().submit([encoder.finish()]);
    /// let [dweight, dbias] = sums.read_blocking()?.try_into().unwrap();
    /// assert_eq!(dbias, 1.0); // Σdy of both parts
    /// assert!((dweight + 3.0 / 5f32.sqrt()).abs() < 1e-5); // Σdy·x̂, where x̂ is x/√5
    /// let dx = [dx[0].read_blocking()?, dx[1].read_blocking()?].concat();
    /// let expected = [0.3, -0.4, -0.1, 0.2].map(|v| v / 5f32.sqrt());
    /// assert!(dx.iter().zip(expected).all(|(got, v)| (got - v).abs() < 1e-5));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// No `dx` or no `grads`; a `dresidual`, or `accumulate`: the sums are those of this batch alone, to be added
    /// to an optimizer's gradients afterwards; a count below this part's own; as
    /// [`Plan::bind_backward`].
    pub fn bind_backward_with(
        &self,
        b: &BackwardBuffers<'_>,
        count: u64,
    ) -> Result<Binding, BindError> {
        self.config.validate_training_part(&self.view(), count)?;
        given("dx", b.dx, true)?;
        given("grads", b.grads, true)?;
        given("dresidual", b.dresidual, false)?;
        if b.accumulate {
            return Err(BindError::Accumulate);
        }
        let slots = self.backward_slots(b)?;
        let mut steps = self.steps(Kernel::BackwardDx, Stage::Map);
        for step in &mut steps {
            step.params = step
                .params
                .with_count(count)
                .with_flag(flags::FROM_SUMS, true);
        }
        self.activate(&mut steps, b.residual.is_some(), false);
        bind(&self.context, &self.schedule, &steps, &slots)
    }

    fn backward_slots<'a>(&self, b: &BackwardBuffers<'a>) -> Result<Vec<Slot<'a>>, BindError> {
        let mut slots = vec![
            self.tensor(Role::X, "x", b.x),
            self.tensor(Role::Dy, "dy", b.dy),
            self.slot(Role::Saved, "saved", b.saved, self.rows(5)),
            self.workspace(b.workspace),
        ];
        slots.extend(b.dx.map(|dx| self.tensor(Role::Out, "dx", dx)));
        slots.extend(self.residuals(b.residual, b.dresidual));
        slots.extend(self.affine(b.affine)?);
        slots.extend(self.grads(b.grads));
        Ok(slots)
    }

    /// Binds backward through frozen statistics: a dispatch for each piece, and one that merges.
    ///
    /// # Errors
    /// A configuration without running statistics; `accumulate` without `grads`; buffers that do not fit.
    pub fn bind_backward_frozen(
        &self,
        b: &FrozenBackwardBuffers<'_>,
    ) -> Result<Binding, BindError> {
        self.needs_running()?;
        if b.accumulate {
            given("grads", b.grads, true)?;
        }
        let mut slots = vec![
            self.tensor(Role::X, "x", b.x),
            self.tensor(Role::Dy, "dy", b.dy),
            self.slot(Role::Statistics, "running", b.running, self.rows(3)),
            self.workspace(b.workspace),
        ];
        slots.extend(b.dx.map(|dx| self.tensor(Role::Out, "dx", dx)));
        slots.extend(self.residuals(b.residual, b.dresidual));
        slots.extend(self.affine(b.affine)?);
        slots.extend(self.grads(b.grads));
        let mut steps = self.steps(Kernel::BackwardFrozen, Stage::Reduce);
        for step in &mut steps {
            step.params = step.params.with_flag(flags::HAS_DX, b.dx.is_some());
        }
        let has_grads = b.grads.is_some();
        steps.extend(self.gradient_steps(Kernel::Gradients, Stage::Merge, has_grads, b.accumulate));
        self.activate(&mut steps, b.residual.is_some(), b.dresidual.is_some());
        bind(&self.context, &self.schedule, &steps, &slots)
    }

    fn needs_running(&self) -> Result<(), BindError> {
        match self.config.running {
            Some(_) => Ok(()),
            None => Err(ConfigError::NoRunningStatistics.into()),
        }
    }

    /// One dispatch of `kernel` for each piece, or one over all where it only merges.
    fn steps(&self, kernel: Kernel, stage: Stage) -> Vec<Step> {
        let mut steps = self.schedule.steps(kernel, stage);
        for step in &mut steps {
            step.params = step
                .params
                .with_eps(self.config.eps)
                .with_affine(self.config.affine);
        }
        steps
    }

    /// What comes after the normalization, or what backward goes through before it: there the residual
    /// is read only to know where the activation was.
    fn activate(&self, steps: &mut [Step], residual: bool, dresidual: bool) {
        for step in steps {
            step.epilogue = Epilogue {
                activation: self.config.activation.code(),
                residual,
                dresidual,
            };
            let slope = self.config.activation.negative_slope();
            step.params = step.params.with_negative_slope(slope);
        }
    }

    fn gradient_steps(
        &self,
        kernel: Kernel,
        stage: Stage,
        grads: bool,
        accumulate: bool,
    ) -> Vec<Step> {
        let mut steps = self.steps(kernel, stage);
        for step in &mut steps {
            step.params = step
                .params
                .with_flag(flags::HAS_GRADS, grads)
                .with_flag(flags::ACCUMULATE, accumulate);
        }
        steps
    }

    fn slot<'a>(
        &self,
        role: Role,
        name: &'static str,
        slice: BufferSlice<'a>,
        bytes: u64,
    ) -> Slot<'a> {
        Slot {
            role,
            name,
            slice,
            bytes,
        }
    }

    fn tensor<'a>(&self, role: Role, name: &'static str, slice: BufferSlice<'a>) -> Slot<'a> {
        self.slot(role, name, slice, self.tensor_bytes())
    }

    fn workspace<'a>(&self, slice: BufferSlice<'a>) -> Slot<'a> {
        self.slot(Role::Partials, "workspace", slice, self.workspace_bytes())
    }

    fn output<'a>(
        &self,
        y: Option<BufferSlice<'a>>,
        residual: Option<BufferSlice<'a>>,
    ) -> impl Iterator<Item = Slot<'a>> {
        let y = y.map(|y| self.tensor(Role::Out, "y", y));
        let residual = residual.map(|r| self.tensor(Role::Residual, "residual", r));
        y.into_iter().chain(residual)
    }

    fn residuals<'a>(
        &self,
        residual: Option<BufferSlice<'a>>,
        dresidual: Option<BufferSlice<'a>>,
    ) -> impl Iterator<Item = Slot<'a>> {
        let residual = residual.map(|r| self.tensor(Role::Residual, "residual", r));
        let dresidual = dresidual.map(|d| self.tensor(Role::Dresidual, "dresidual", d));
        residual.into_iter().chain(dresidual)
    }

    fn running<'a>(&self, slice: Option<BufferSlice<'a>>) -> Result<Option<Slot<'a>>, BindError> {
        let slice = given("running", slice, self.config.running.is_some())?;
        Ok(slice.map(|slice| self.slot(Role::Statistics, "running", slice, self.rows(3))))
    }

    fn affine<'a>(&self, slice: Option<BufferSlice<'a>>) -> Result<Option<Slot<'a>>, BindError> {
        let slice = given("affine", slice, self.config.affine != Affine::None)?;
        Ok(slice.map(|slice| self.slot(Role::Affine, "affine", slice, self.rows(2))))
    }

    fn grads<'a>(&self, slice: Option<BufferSlice<'a>>) -> Option<Slot<'a>> {
        slice.map(|slice| self.slot(Role::Grads, "grads", slice, self.rows(2)))
    }
}

/// A buffer that is there exactly where the options want it.
pub(crate) fn given<'a>(
    buffer: &'static str,
    slice: Option<BufferSlice<'a>>,
    wanted: bool,
) -> Result<Option<BufferSlice<'a>>, BindError> {
    match (slice, wanted) {
        (None, true) => Err(BindError::Missing { buffer }),
        (Some(_), false) => Err(BindError::Unexpected { buffer }),
        (slice, _) => Ok(slice),
    }
}
