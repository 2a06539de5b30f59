//! Who cuts the work of a trial, and into what sizes.

use wgpu_batchnorm::internals::plan::Tuning;

use testkit::cuts::{LANES_ALONE, SMALL_SHARES};

/// Who cuts the work.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    /// The adapter's own sizes.
    Own,
    By(Tuning),
    /// On a device that was asked for no feature and no larger workgroup, which adapters need not have.
    Plain(Tuning),
    /// Its own, on a device that binds so few bytes at most.
    Bindings(u64),
}

/// The adapter's own sizes, others, some for each number of channels a lane, and small bindings.
pub const SIZES: [(&str, Cut); 8] = [
    ("the adapter's own sizes", Cut::Own),
    ("a GPU's sizes", Cut::By(Tuning::DISCRETE)),
    (
        "a GPU's sizes, in small shares, no features",
        Cut::Plain(SMALL_SHARES.1),
    ),
    (LANES_ALONE.0, Cut::By(LANES_ALONE.1)),
    ("1 column a lane", Cut::By(columns(1))),
    ("2 columns a lane", Cut::By(columns(2))),
    ("4 columns a lane", Cut::By(columns(4))),
    ("bindings of 8 KiB", Cut::Bindings(8 << 10)),
];
/// Those that all shapes meet.
pub const CUTS: usize = 4;
/// That of small bindings.
pub const NARROW: usize = 7;

/// So little that one dispatch does it whole, and parts in two.
const fn columns(lane_columns: u32) -> Tuning {
    Tuning {
        planar_workgroup: 8,
        planar_team: 4,
        interleaved_workgroup: 8,
        interleaved_columns: 4,
        lane_columns,
        fill: 1,
        resident_bytes: 1 << 20,
        workgroup_bytes: None,
        read_only: false,
    }
}
