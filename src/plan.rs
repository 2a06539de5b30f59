//! The planner: from a view and a machine to grids and scratch. Pure host code, no device.

use crate::error::PlanError;
use crate::shape::{Pattern, View};

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

/// What the planner knows of a device: limits, and how it likes its work cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    /// `max_compute_workgroups_per_dimension`.
    pub max_groups_per_dimension: u32,
    /// Largest tensor that one binding holds, in bytes.
    pub max_binding_bytes: u64,
    /// The name of the limit behind `max_binding_bytes`.
    pub binding_limit: &'static str,
    /// How work is cut.
    pub tuning: Tuning,
}

/// How work is cut: sizes that change speed and never results beyond rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuning {
    /// Invocations of a workgroup on planar tensors; a multiple of `planar_team`.
    pub planar_workgroup: u32,
    /// Lanes that share one contiguous stream of a planar tensor.
    pub planar_team: u32,
    /// Most invocations of a workgroup on interleaved tensors; a workgroup is one team there.
    pub interleaved_workgroup: u32,
    /// Workgroups that fill the device.
    pub fill: u32,
}

impl Tuning {
    /// Adapters that run on the CPU: each of their few threads runs a workgroup's lanes in
    /// subgroups, one after the other, and pays for every barrier.
    pub const CPU_ADAPTER: Self = Self {
        planar_workgroup: 8,
        planar_team: 8,
        interleaved_workgroup: 64,
        fill: 32,
    };
    /// GPUs.
    pub const GPU: Self = Self {
        planar_workgroup: 256,
        planar_team: 256,
        interleaved_workgroup: 256,
        fill: 1024,
    };
}

/// How one dispatch divides the work; the fields mean what `Params` in the shaders says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "documented in `shaders/shared/params.wgsl`")]
pub struct Grid {
    pub workgroup: u32,
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
    /// Workgroups along x and y; the last row may hold workgroups with nothing to do.
    pub dispatch: [u32; 2],
}

/// The grids of every operation on one view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Schedule {
    /// The view planned for.
    pub view: View,
    /// Axes of a strided walk, where the view is not dense.
    pub axes: Option<Axes>,
    /// First dispatches: they reduce the tensor to partials.
    pub reduce: Grid,
    /// Dispatches that write a tensor.
    pub map: Grid,
    /// Dispatches that only merge partials.
    pub merge: Grid,
}

/// Bytes of a partial: (count, offset, m2, pivot) or two sums.
const PARTIAL_BYTES: u64 = 16;

/// Most positions a lane may walk. Software adapters end an invocation silently after 65,535 loop
/// iterations, nested ones counted; and a lane's cascade of tiles is 4,096 long at most.
const MAX_POSITIONS: usize = 32_768;
/// The same for a strided walk, which loops four times over axes at every position.
const MAX_POSITIONS_STRIDED: usize = 8_192;
/// Fewest positions that make a lane worth starting.
const MIN_POSITIONS: usize = 64;
/// Values a lane folds in registers before anything else.
const TILE: usize = 16;

/// Plans every operation on a dense view.
///
/// # Errors
/// A tensor that one binding or 32-bit indices cannot hold.
pub fn plan_dense(view: View, machine: &Machine) -> Result<Schedule, PlanError> {
    plan(view, None, view.pattern(), machine)
}

/// Plans the functional forms where kept and reduced axes alternate. `view` is
/// `(reduced, kept, 1)`; `kept_innermost` says whether neighbours in memory are neighbouring
/// channels.
///
/// # Errors
/// As [`plan_dense`].
pub fn plan_strided(
    view: View,
    axes: Axes,
    kept_innermost: bool,
    machine: &Machine,
) -> Result<Schedule, PlanError> {
    let pattern = match kept_innermost {
        true => Pattern::Interleaved,
        false => Pattern::Planar,
    };
    plan(view, Some(axes), pattern, machine)
}

fn plan(
    view: View,
    axes: Option<Axes>,
    pattern: Pattern,
    machine: &Machine,
) -> Result<Schedule, PlanError> {
    let bytes = view.len() as u64 * 4;
    // Addresses are u32, and a span may reach past the end.
    let (limit, max) = match machine.max_binding_bytes {
        max if max < 1 << 33 => (machine.binding_limit, max),
        _ => ("what 32-bit indices reach", 1 << 33),
    };
    if bytes > max {
        return Err(PlanError::TooLarge {
            got: bytes,
            limit,
            max,
        });
    }
    let tuning = &machine.tuning;
    let (workgroup, team) = match pattern {
        Pattern::Planar => (tuning.planar_workgroup, tuning.planar_team),
        Pattern::Interleaved => {
            let wanted = (view.channels as u32).next_multiple_of(8);
            let workgroup = wanted.clamp(
                tuning.interleaved_workgroup.min(32),
                tuning.interleaved_workgroup,
            );
            (workgroup, workgroup)
        }
    };
    let columns = match pattern {
        Pattern::Planar => 1,
        Pattern::Interleaved => team.min(view.channels as u32),
    };
    let max_positions = if axes.is_some() {
        MAX_POSITIONS_STRIDED
    } else {
        MAX_POSITIONS
    };
    let cut = Cut {
        view,
        workgroup,
        team,
        columns,
        max_positions,
    };
    let wide = cut.grid(cut.splits(tuning.fill), machine);
    Ok(Schedule {
        view,
        axes,
        reduce: wide,
        map: wide,
        merge: cut.grid(1, machine),
    })
}

/// What the grids of one schedule share.
struct Cut {
    view: View,
    workgroup: u32,
    team: u32,
    columns: u32,
    max_positions: usize,
}

impl Cut {
    fn rows(&self) -> u32 {
        self.team / self.columns
    }

    fn teams(&self) -> u32 {
        self.workgroup / self.team
    }

    fn groups(&self) -> u32 {
        (self.view.channels as u32).div_ceil(self.columns)
    }

    /// Workgroups per channel group: enough to fill the device, none too small to be worth it,
    /// none that a lane could not finish.
    fn splits(&self, fill: u32) -> u32 {
        let count = self.view.count();
        let slots = (self.rows() * self.teams()) as usize;
        let least = count.div_ceil(slots * self.max_positions);
        let worthwhile = (count / (slots * MIN_POSITIONS)).max(1);
        // Every workgroup of the second dispatch reads all partials of its channels: what they
        // read together, splits², stays far below the channel's own values.
        let mergeable = (count.isqrt() / 4).max(1);
        let wanted = fill.div_ceil(self.groups()) as usize;
        wanted.min(worthwhile).min(mergeable).max(least) as u32
    }

    fn grid(&self, splits: u32, machine: &Machine) -> Grid {
        let View {
            channels, inner, ..
        } = self.view;
        let count = self.view.count();
        let (rows, teams) = (self.rows(), self.teams());
        // Whole tiles, so that only the last team of a channel has a remainder.
        let share = count.div_ceil((splits * teams) as usize);
        let granule = if share >= rows as usize * TILE {
            rows as usize * TILE
        } else {
            rows as usize
        };
        let span = share.next_multiple_of(granule);
        let splits = if splits == 1 {
            1
        } else {
            count.div_ceil(span * teams as usize) as u32
        };
        // `rows` positions on: so many runs, and so far within one.
        let (runs, step) = (rows as usize / inner, rows as usize % inner);
        let groups = self.groups();
        let total = u64::from(groups) * u64::from(splits);
        let width = total.min(u64::from(machine.max_groups_per_dimension));
        Grid {
            workgroup: self.workgroup,
            team: self.team,
            columns: self.columns,
            rows,
            slots: rows * teams,
            groups,
            splits,
            span: span as u32,
            address_step: (runs * channels * inner + step) as u32,
            inner_step: step as u32,
            wrap_step: ((channels - 1) * inner) as u32,
            dispatch: [width as u32, total.div_ceil(width) as u32],
        }
    }
}

impl Schedule {
    /// Scratch that any one operation needs, in bytes.
    pub fn workspace_bytes(&self) -> u64 {
        self.view.channels as u64 * u64::from(self.reduce.splits) * PARTIAL_BYTES
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
