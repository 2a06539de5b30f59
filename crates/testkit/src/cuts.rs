//! Ways to cut the work that the planner would not choose; the sweep and the tests share them.

use wgpu_batchnorm::internals::plan::Tuning;

pub const MANY_TEAMS: (&str, Tuning) = (
    "many teams, odd fill",
    Tuning {
        planar_workgroup: 64,
        planar_team: 16,
        interleaved_workgroup: 40,
        interleaved_columns: 12,
        lane_columns: 2,
        fill: 77,
        resident_bytes: 0,
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
    },
);
