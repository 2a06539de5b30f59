//! Binding of backward passes.

use super::slots::given;
use super::{BackwardBuffers, FrozenBackwardBuffers, Plan};
use crate::bindings::{Binding, Slot, Stage, Step, bind};
use crate::error::BindError;
use crate::params::flags;
use crate::shaders::{Kernel, Role};

impl Plan {
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
}
