//! Which sizes can be planned with, whoever wrote them.

use super::load::COLUMNS;
use super::machine::Tuning;
use crate::error::TuningError;

/// Invocations of a workgroup that no device exceeds by default or by much.
const WIDEST: u32 = 1024;
/// Where work is cut by bytes, a lane each for the longest run that is short: 127 halves.
const NARROWEST_BY_BYTES: u32 = 128;
/// More workgroups fill no device, and would leave more partials than 32 bits count.
const MOST_FILL: u32 = 1 << 16;
/// Smaller workgroups of a tensor of 4 GiB would be more than a grid holds.
const WORKGROUP_BYTES: std::ops::RangeInclusive<usize> = 1 << 10..=1 << 30;
/// What WebGPU lets every device bind. Smaller pieces would be too many.
const LEAST_PIECE: u64 = 128 << 20;

impl Tuning {
    /// Refuses sizes that the planner or the kernels cannot take.
    pub(crate) fn accepted(&self) -> Result<(), TuningError> {
        let is_width = |n: u32, least: u32| n.is_power_of_two() && (least..=WIDEST).contains(&n);
        let narrowest = match self.workgroup_bytes {
            Some(_) => NARROWEST_BY_BYTES,
            None => 1,
        };
        let checks = [
            (
                is_width(self.planar_workgroup, narrowest),
                "planar_workgroup",
                self.planar_workgroup.into(),
                "a power of two of at most 1024, and of at least 128 beside workgroup_bytes",
            ),
            (
                is_width(self.planar_team, 1) && self.planar_team <= self.planar_workgroup,
                "planar_team",
                self.planar_team.into(),
                "a power of two of at most planar_workgroup",
            ),
            (
                is_width(self.interleaved_workgroup, 8),
                "interleaved_workgroup",
                self.interleaved_workgroup.into(),
                "a power of two from 8 to 1024",
            ),
            (
                (1..=WIDEST).contains(&self.interleaved_columns),
                "interleaved_columns",
                self.interleaved_columns.into(),
                "a number from 1 to 1024",
            ),
            (
                COLUMNS.contains(&self.lane_columns),
                "lane_columns",
                self.lane_columns.into(),
                "1, 2 or 4",
            ),
            (
                (1..=MOST_FILL).contains(&self.fill),
                "fill",
                self.fill.into(),
                "a number from 1 to 65536",
            ),
            (
                self.workgroup_bytes
                    .is_none_or(|bytes| WORKGROUP_BYTES.contains(&bytes)),
                "workgroup_bytes",
                self.workgroup_bytes.unwrap_or(0) as u64,
                "null, or a number from 1024 to 1073741824",
            ),
            (
                self.piece_bytes >= LEAST_PIECE,
                "piece_bytes",
                self.piece_bytes,
                "at least 134217728",
            ),
        ];
        match checks.into_iter().find(|(holds, ..)| !holds) {
            None => Ok(()),
            Some((_, size, got, expected)) => Err(TuningError::Size {
                size,
                got,
                expected,
            }),
        }
    }
}
