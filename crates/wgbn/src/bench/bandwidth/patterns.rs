//! The ways to go through memory that are tried.

/// How lanes go through memory, in vectors of four f32.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pattern {
    pub workgroup: u32,
    /// Lanes side by side in a contiguous chunk; all of them where there is none.
    pub team: Option<u32>,
    /// Vectors of one lane; four are in flight at once where there are as many.
    pub per_lane: u32,
}

/// What a kernel is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    pub lanes: u32,
    pub per_lane: u32,
    pub groups: u32,
}

pub const fn pattern(workgroup: u32, team: Option<u32>, per_lane: u32) -> Pattern {
    Pattern {
        workgroup,
        team,
        per_lane,
    }
}

/// Wide strides and blocks are for GPUs; small teams with chunks of their own for software.
pub const COPIES: [Pattern; 9] = [
    pattern(256, None, 1),
    pattern(256, None, 16),
    pattern(256, Some(256), 4),
    pattern(256, Some(256), 16),
    pattern(8, Some(8), 32),
    pattern(8, Some(8), 256),
    pattern(8, Some(8), 2048),
    pattern(64, Some(8), 256),
    pattern(64, Some(8), 2048),
];

pub const SUMS: [Pattern; 8] = [
    pattern(256, None, 8),
    pattern(256, None, 32),
    pattern(256, Some(256), 16),
    pattern(256, Some(256), 64),
    pattern(8, Some(8), 256),
    pattern(8, Some(8), 2048),
    pattern(64, Some(8), 256),
    pattern(64, Some(8), 2048),
];

/// Fewer lanes leave a device idle.
const FEWEST_LANES: u32 = 1024;

impl Pattern {
    /// The grid for a power of two of vectors, with shorter lanes where there are few.
    pub fn grid(&self, vectors: u32) -> Grid {
        let mut per_lane = self.per_lane;
        while per_lane > 4 && vectors / per_lane < FEWEST_LANES {
            per_lane /= 2;
        }
        let lanes = vectors / per_lane;
        Grid {
            lanes,
            per_lane,
            groups: lanes.div_ceil(self.workgroup),
        }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            workgroup,
            per_lane,
            ..
        } = self;
        match self.team {
            None => write!(f, "grid-wide stride")?,
            Some(team) => write!(f, "{team} lanes a chunk")?,
        }
        write!(f, ", {per_lane} vec4 a lane, workgroups of {workgroup}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every vector is visited once, by the rule of the shaders.
    #[test]
    fn grids_visit_each_vector_once() {
        for pattern in COPIES.iter().chain(&SUMS) {
            for vectors in [1 << 12, 1 << 16] {
                let Grid {
                    lanes,
                    per_lane,
                    groups,
                } = pattern.grid(vectors);
                let team = pattern.team.unwrap_or(lanes);
                let mut visits = vec![0; vectors as usize];
                for lane in 0..lanes {
                    let first = lane / team * team * per_lane + lane % team;
                    for k in 0..per_lane {
                        visits[(first + k * team) as usize] += 1;
                    }
                }
                assert!(visits.iter().all(|&n| n == 1), "{pattern}, {vectors}");
                assert!(groups * pattern.workgroup >= lanes);
                // Software adapters end an invocation after 65,535 rounds.
                assert!(per_lane < 65_535 && groups / 64 < 65_535);
            }
        }
    }

    #[test]
    fn unrolled_loops_come_out_even() {
        for pattern in COPIES.iter().chain(&SUMS) {
            for log in 12..26 {
                let per_lane = pattern.grid(1 << log).per_lane;
                assert!(per_lane == 1 || per_lane.is_multiple_of(4), "{pattern}");
            }
        }
        assert!(SUMS.iter().all(|pattern| pattern.per_lane >= 4));
    }
}
