//! Ways to cut the work that the planner would not choose; the sweep and the tests share them.

use wgpu_batchnorm::internals::plan::Tuning;

/// So few bytes a workgroup that small channels are split as well, and their partials folded.
pub const SMALL_SHARES: (&str, Tuning) = (
    "a GPU's sizes, in small shares",
    Tuning {
        fill: 1 << 16,
        resident_bytes: 0,
        workgroup_bytes: Some(1 << 10),
        read_only: false,
        ..Tuning::DISCRETE
    },
);

pub const LANES_ALONE: (&str, Tuning) = (
    "lanes alone",
    Tuning {
        planar_workgroup: 32,
        planar_team: 1,
        interleaved_workgroup: 8,
        interleaved_columns: 3,
        lane_columns: 4,
        fill: 5,
        resident_bytes: 1 << 20,
        workgroup_bytes: None,
        read_only: true,
    },
);
