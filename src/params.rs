//! What one dispatch is told, as the shaders' `Params` lays it out.

use crate::config::{Affine, Config, Momentum, NonFinite, RunningVariance};
use crate::plan::{Grid, Schedule};

/// Mirrors `Params` in `shaders/shared/params.wgsl`; a test compares the two.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[allow(missing_docs, reason = "documented in the shader that reads them")]
pub struct Params {
    pub channels: u32,
    pub inner: u32,
    pub count: u32,
    pub team: u32,
    pub columns: u32,
    pub rows: u32,
    pub slots: u32,
    pub groups: u32,
    pub splits: u32,
    pub span: u32,
    pub address_step: u32,
    pub inner_step: u32,
    pub wrap_step: u32,
    pub partials: u32,
    pub flags: u32,
    pub zero: u32,
    pub eps: f32,
    pub momentum: f32,
    pub correction: f32,
}

/// Lengths and strides of a strided walk, fastest first; mirrors `Axes` in
/// `shaders/shared/walk_strided.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Axes {
    /// Kept axes: (length, stride, 0, 0).
    pub kept: [[u32; 4]; 4],
    /// Reduced axes: (length, stride, 0, 0).
    pub reduced: [[u32; 4]; 4],
}

/// Bits of [`Params::flags`], as the shaders name them.
pub mod flags {
    #![allow(missing_docs, reason = "named as in the shader")]
    pub const HAS_WEIGHT: u32 = 1;
    pub const HAS_BIAS: u32 = 2;
    pub const HAS_RUNNING: u32 = 4;
    pub const CUMULATIVE: u32 = 8;
    pub const SKIP_NON_FINITE: u32 = 16;
    pub const HAS_GRADS: u32 = 32;
    pub const ACCUMULATE: u32 = 64;
    pub const HAS_DX: u32 = 128;
    pub const FROM_MOMENTS: u32 = 256;
}

/// Where [`Params::flags`] and [`Params::momentum`] lie, for those who change a momentum.
pub(crate) const FLAGS_OFFSET: u64 = std::mem::offset_of!(Params, flags) as u64;
pub(crate) const MOMENTUM_OFFSET: u64 = std::mem::offset_of!(Params, momentum) as u64;

impl Params {
    /// The parameters of a dispatch over `grid`; options are added by the methods below.
    pub(crate) fn new(schedule: &Schedule, grid: &Grid) -> Self {
        let view = &schedule.view;
        Self {
            channels: view.channels as u32,
            inner: view.inner as u32,
            count: view.count() as u32,
            team: grid.team,
            columns: grid.columns,
            rows: grid.rows,
            slots: grid.slots,
            groups: grid.groups,
            splits: grid.splits,
            span: grid.span,
            address_step: grid.address_step,
            inner_step: grid.inner_step,
            wrap_step: grid.wrap_step,
            partials: schedule.reduce.splits,
            flags: 0,
            zero: 0,
            eps: 0.0,
            momentum: 0.0,
            correction: 1.0,
        }
    }

    pub(crate) fn with_flag(mut self, flag: u32, set: bool) -> Self {
        if set {
            self.flags |= flag;
        }
        self
    }

    pub(crate) fn with_affine(self, affine: Affine) -> Self {
        self.with_flag(flags::HAS_WEIGHT, affine.has_weight())
            .with_flag(flags::HAS_BIAS, affine.has_bias())
    }

    pub(crate) fn with_eps(mut self, eps: f32) -> Self {
        self.eps = eps;
        self
    }

    pub(crate) fn with_running(mut self, config: &Config) -> Self {
        let Some(running) = config.running else {
            return self;
        };
        if running.variance == RunningVariance::Unbiased {
            let m = f64::from(self.count);
            self.correction = (m / (m - 1.0)) as f32;
        }
        self.with_flag(flags::HAS_RUNNING, true)
            .with_flag(
                flags::SKIP_NON_FINITE,
                running.non_finite == NonFinite::Skip,
            )
            .with_momentum(running.momentum)
    }

    pub(crate) fn with_momentum(mut self, momentum: Momentum) -> Self {
        self.flags &= !flags::CUMULATIVE;
        match momentum {
            Momentum::Exponential(momentum) => {
                self.momentum = momentum;
                self
            }
            Momentum::Cumulative => self.with_flag(flags::CUMULATIVE, true),
        }
    }
}
