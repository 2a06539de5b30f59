//! Binding of forward passes and moments.

use super::slots::whole_count;
use super::{InferenceBuffers, MomentsBuffers, MomentsRows, Plan, TrainBuffers};
use crate::bindings::{Binding, Slot, Stage, Step, bind};
use crate::error::{BindError, ConfigError};
use crate::params::flags;
use crate::shaders::{Kernel, Role};

impl Plan {
    /// Binds training forward: one dispatch or two, as [`Plan::describe`] says; two for each piece
    /// where one binding does not hold the tensor; so below.
    ///
    /// With [moments](TrainBuffers::with_moments) it is the second half of training forward on a part of a
    /// batch, one dispatch for each piece. Running statistics move as by the whole batch then: give them to one
    /// of the parts that share them, and to no other.
    ///
    /// # Errors
    /// Options that do not allow training on this shape; moments of fewer values than this part has; buffers
    /// that do not fit.
    pub fn bind_train(&self, b: &TrainBuffers<'_>) -> Result<Binding, BindError> {
        if let Some(moments) = &b.moments {
            return self.bind_train_part(b, moments);
        }
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
    /// [`Moments::merge`](crate::Moments::merge), go to [`TrainBuffers::with_moments`] of each part.
    ///
    /// # Errors
    /// Buffers that do not fit.
    pub fn bind_moments(&self, b: &MomentsBuffers<'_>) -> Result<Binding, BindError> {
        let slots = [
            self.tensor(Role::X, "x", b.x),
            self.slot(Role::Statistics, "moments", b.moments, self.moments_bytes()),
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
    /// A count of zero, or one that is no whole number; buffers that do not fit.
    pub fn bind_merge_moments(
        &self,
        into: &MomentsRows<'_>,
        other: &MomentsRows<'_>,
    ) -> Result<Binding, BindError> {
        let counts = [whole_count(into.count)?, whole_count(other.count)?];
        if counts.contains(&0) {
            return Err(ConfigError::Count { got: 0, least: 1 }.into());
        }
        let slots = [
            self.slot(Role::Statistics, "into", into.rows, self.moments_bytes()),
            self.slot(Role::Given, "other", other.rows, self.moments_bytes()),
        ];
        let mut steps = self.schedule.steps(Kernel::MomentsMerge, Stage::Merge);
        for step in &mut steps {
            step.params = step.params.with_count(counts[0]);
            step.params.given_total = counts[1] as f32;
        }
        bind(&self.context, &self.schedule, &steps, &slots)
    }

    /// Training forward on a part, with the moments of the whole batch.
    fn bind_train_part(
        &self,
        b: &TrainBuffers<'_>,
        moments: &MomentsRows<'_>,
    ) -> Result<Binding, BindError> {
        let count = whole_count(moments.count)?;
        let view = self.view();
        self.config.validate_training_part(&view, count)?;
        let mut slots = self.train_slots(b)?;
        slots.push(self.slot(Role::Given, "moments", moments.rows, self.moments_bytes()));
        if b.running.is_some() {
            slots.extend(self.running(b.running)?);
        }
        let mut steps = self.train_steps(Kernel::Normalize, Stage::Map, count, b);
        for step in &mut steps {
            step.params = step.params.with_flag(flags::FROM_MOMENTS, true);
        }
        bind(&self.context, &self.schedule, &steps, &slots)
    }

    fn train_slots<'a>(&self, b: &TrainBuffers<'a>) -> Result<Vec<Slot<'a>>, BindError> {
        let mut slots = vec![
            self.tensor(Role::X, "x", b.x),
            self.slot(Role::Saved, "saved", b.saved, self.saved_bytes()),
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
            self.slot(Role::Statistics, "running", b.running, self.running_bytes()),
        ];
        slots.extend(self.output(b.y, b.residual));
        slots.extend(self.affine(b.affine)?);
        let mut steps = self.steps(Kernel::Inference, Stage::Apply);
        self.activate(&mut steps, b.residual.is_some(), false);
        bind(&self.context, &self.schedule, &steps, &slots)
    }
}
