//! Buffers in their roles, and dispatches with the configuration's parameters.

use wgpu::BufferSlice;

use super::Plan;
use crate::bindings::{Epilogue, Slot, Stage, Step};
use crate::config::Affine;
use crate::error::{BindError, ConfigError};
use crate::shaders::{Kernel, Role};

impl Plan {
    pub(super) fn needs_running(&self) -> Result<(), BindError> {
        match self.config.running {
            Some(_) => Ok(()),
            None => Err(ConfigError::NoRunningStatistics.into()),
        }
    }

    /// One dispatch of `kernel` for each piece, or one over all where it only merges.
    pub(super) fn steps(&self, kernel: Kernel, stage: Stage) -> Vec<Step> {
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
    pub(super) fn activate(&self, steps: &mut [Step], residual: bool, dresidual: bool) {
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

    pub(super) fn slot<'a>(
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

    pub(super) fn tensor<'a>(
        &self,
        role: Role,
        name: &'static str,
        slice: BufferSlice<'a>,
    ) -> Slot<'a> {
        self.slot(role, name, slice, self.tensor_bytes())
    }

    pub(super) fn workspace<'a>(&self, slice: BufferSlice<'a>) -> Slot<'a> {
        self.slot(Role::Partials, "workspace", slice, self.workspace_bytes())
    }

    pub(super) fn output<'a>(
        &self,
        y: Option<BufferSlice<'a>>,
        residual: Option<BufferSlice<'a>>,
    ) -> impl Iterator<Item = Slot<'a>> {
        let y = y.map(|y| self.tensor(Role::Out, "y", y));
        let residual = residual.map(|r| self.tensor(Role::Residual, "residual", r));
        y.into_iter().chain(residual)
    }

    pub(super) fn residuals<'a>(
        &self,
        residual: Option<BufferSlice<'a>>,
        dresidual: Option<BufferSlice<'a>>,
    ) -> impl Iterator<Item = Slot<'a>> {
        let residual = residual.map(|r| self.tensor(Role::Residual, "residual", r));
        let dresidual = dresidual.map(|d| self.tensor(Role::Dresidual, "dresidual", d));
        residual.into_iter().chain(dresidual)
    }

    pub(super) fn running<'a>(
        &self,
        slice: Option<BufferSlice<'a>>,
    ) -> Result<Option<Slot<'a>>, BindError> {
        let slice = given("running", slice, self.config.running.is_some())?;
        Ok(slice.map(|slice| self.slot(Role::Statistics, "running", slice, self.running_bytes())))
    }

    pub(super) fn affine<'a>(
        &self,
        slice: Option<BufferSlice<'a>>,
    ) -> Result<Option<Slot<'a>>, BindError> {
        let slice = given("affine", slice, self.config.affine != Affine::None)?;
        Ok(slice.map(|slice| self.slot(Role::Affine, "affine", slice, self.affine_bytes())))
    }

    pub(super) fn grads<'a>(&self, slice: Option<BufferSlice<'a>>) -> Option<Slot<'a>> {
        slice.map(|slice| self.slot(Role::Grads, "grads", slice, self.grads_bytes()))
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

/// A count of values per channel. Counts are whole up to where f64 holds each.
pub(super) fn whole_count(count: f64) -> Result<u64, ConfigError> {
    const MOST: f64 = (1_u64 << 53) as f64;
    match count.fract() == 0.0 && (0.0..=MOST).contains(&count) {
        true => Ok(count as u64),
        false => Err(ConfigError::CountOfValues { got: count }),
    }
}
