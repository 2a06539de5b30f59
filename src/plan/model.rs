//! How long an operation is expected to take: for each of its dispatches what it reads and writes, how much of that a
//! cache has, what is on its way at once, and how many instructions run.
//!
//! A dispatch takes what starting it takes, plus a few latencies that nothing hides, plus the longer of two times:
//! that of its bytes and that of its instructions. Bytes move at the rate of the memory, or of the cache that has them,
//! as far as enough of them are on their way: with n on their way at once, n/(n + bandwidth·latency) of it. The busiest
//! multiprocessor decides how long instructions take.

use super::dispatch::{Dispatch, Stage, rate, starts};
pub use super::dispatch::{Expected, Work};
use super::grid::Grid;
use super::hardware::Hardware;
use super::instructions::Body;
use super::pieces::Piece;
use super::schedule::Schedule;
use crate::shape::View;

/// Registers of a kernel that copies.
const COPY_REGISTERS: u32 = 32;

impl Work {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Train,
        Self::Inference,
        Self::Backward,
        Self::Frozen,
        Self::Moments,
    ];

    /// What the command line calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Inference => "inference",
            Self::Backward => "backward",
            Self::Frozen => "frozen",
            Self::Moments => "moments",
        }
    }

    /// How often it moves a tensor where no cache and no register holds any of it.
    fn moves(self) -> u64 {
        match self {
            Self::Moments => 1,
            Self::Inference => 2,
            Self::Train | Self::Frozen => 3,
            Self::Backward => 5,
        }
    }

    /// Its dispatches over each piece, or over none: the kernels, what they do, and on which grid.
    fn stages(self, schedule: &Schedule) -> Vec<(&'static str, Stage)> {
        let reduce = |kernel, body| (kernel, Stage::Reduce(body));
        let split = |first, finish, last, flat| match (schedule.flat.is_empty(), schedule.folds) {
            (false, _) => vec![first, (finish, Stage::Merge), flat],
            (true, true) => vec![first, (finish, Stage::Merge), last],
            (true, false) => vec![first, last],
        };
        let flat = |kernel, body, behind, merged| {
            let stage = Stage::Flat {
                body,
                behind,
                merged,
            };
            (kernel, stage)
        };
        let map = |kernel, body| (kernel, Stage::Map(body));
        let whole = |grid: Grid, held, resident, bodies| {
            let kernel = if grid.held > 0 { held } else { resident };
            vec![(kernel, Stage::Resident(grid, bodies))]
        };
        match self {
            Self::Train => match schedule.resident_train {
                Some(grid) => {
                    let bodies = [Body::Moments, Body::Map];
                    whole(grid, "train_held", "train_resident", bodies)
                }
                None => split(
                    reduce("moments", Body::Moments),
                    "train_finish",
                    map("normalize", Body::Map),
                    flat("flat_normalize", Body::Map, true, true),
                ),
            },
            Self::Inference => vec![match schedule.flat.is_empty() {
                true => ("inference", Stage::Apply(Body::Map)),
                false => flat("flat_inference", Body::Map, false, false),
            }],
            Self::Backward => match schedule.resident_backward {
                Some(grid) => {
                    let bodies = [Body::Sums, Body::Dx];
                    whole(grid, "backward_held", "backward_resident", bodies)
                }
                None => split(
                    reduce("backward_sums", Body::Sums),
                    "gradients",
                    map("backward_dx", Body::Dx),
                    flat("flat_dx", Body::Dx, true, true),
                ),
            },
            Self::Frozen if schedule.flat.is_empty() => vec![
                reduce("backward_frozen", Body::Frozen),
                ("gradients", Stage::Merge),
            ],
            Self::Frozen => vec![
                reduce("backward_frozen", Body::Sums),
                ("gradients", Stage::Merge),
                // It reads dy alone.
                flat("flat_frozen_dx", Body::Map, true, false),
            ],
            Self::Moments => vec![
                reduce("moments", Body::Moments),
                ("moments_finish", Stage::Merge),
            ],
        }
    }
}

/// The dispatches of an operation, in their order.
pub fn expect(work: Work, schedule: &Schedule, on: &Hardware) -> Vec<Expected> {
    let mut expected = Vec::new();
    for (kernel, stage) in work.stages(schedule) {
        let dispatch = |piece: &Piece, grid: &Grid| {
            let dispatch = Dispatch {
                schedule,
                on,
                piece,
                grid,
                stage,
            };
            dispatch.expected(work, kernel)
        };
        match stage {
            Stage::Merge => expected.push(dispatch(&schedule.whole(), &schedule.merge)),
            Stage::Resident(grid, _) => expected.push(dispatch(&schedule.whole(), &grid)),
            _ => {
                // Most pieces are alike, and so is what they take.
                let mut last: Option<(View, Grid, Expected)> = None;
                let pieces = match stage {
                    Stage::Flat { .. } => &schedule.flat,
                    _ => &schedule.pieces,
                };
                for piece in pieces {
                    let grid = match stage {
                        Stage::Reduce(_) => piece.reduce,
                        Stage::Map(_) => piece.map,
                        _ => piece.apply,
                    };
                    let alike = last.filter(|(view, on, _)| (*view, *on) == (piece.view, grid));
                    let this = match alike {
                        Some((_, _, expected)) => expected,
                        None => dispatch(piece, &grid),
                    };
                    last = Some((piece.view, grid, this));
                    expected.push(this);
                }
            }
        }
    }
    expected
}

/// How long an operation takes, in seconds.
pub fn seconds(work: Work, schedule: &Schedule, on: &Hardware) -> f64 {
    expect(work, schedule, on)
        .iter()
        .map(|dispatch| dispatch.seconds)
        .sum()
}

/// How fast an operation moves what it has to move at most, 1 for the rate of a copy of the tensor: above 1
/// where a cache or registers hold some of it.
pub fn of_copy(work: Work, schedule: &Schedule, on: &Hardware) -> f64 {
    let bytes = schedule.element.bytes_of(schedule.view.len());
    let moved = (work.moves() * bytes) as f64;
    let rate = (2 * bytes) as f64 / copy_seconds(bytes, on);
    moved / rate / seconds(work, schedule, on)
}

/// How long a copy of so many bytes takes, by a kernel that fills the device with loads of 16 bytes.
fn copy_seconds(bytes: u64, on: &Hardware) -> f64 {
    let lanes = u64::from(on.processors.live(256, COPY_REGISTERS) * 256 * on.processors.count);
    let in_flight = (lanes * 4 * 16).min(bytes);
    starts(on) + (2 * bytes) as f64 / rate(in_flight, on)
}
