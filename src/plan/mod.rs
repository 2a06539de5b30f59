//! The planner: from a view and a machine to grids and scratch. It is arithmetic on the host and
//! knows no device.
//!
//! | file | decides |
//! |---|---|
//! | `machine` | what is known of a device: limits, and how its class likes work cut |
//! | `accepted` | which sizes of a file can be planned with |
//! | `load` | how wide loads are |
//! | `pieces` | how a tensor is cut where one binding does not hold it |
//! | `cuts` | teams and lanes of a dispatch, and how often a channel is split |
//! | `by_bytes` | the same for GPUs: by bytes, lines of memory and registers |
//! | `flat` | how halves that no wide load fits are mapped, by words |
//! | `grid` | how workgroups fold into a grid |
//! | `schedule` | the grids of every operation on one view |
//! | `figures` | what a grid makes of a tensor: bytes in flight, balance, lanes and sectors used |
//! | `hardware` | devices whose time is predicted, with the source of each number |
//! | `instructions` | how many instructions kernels run |
//! | `cache` | what the second pass over a tensor finds in a cache, and so in which order it goes |
//! | `dispatch` | what one dispatch reads, writes and computes, and how long that should take |
//! | `model` | the dispatches of an operation, how long they should take, and that beside a copy |
//! | `choice` | which of several schedules for a GPU is the fastest by the model |
//! | `describe` | all of that in words |

#[cfg(feature = "tuning")]
mod accepted;
mod by_bytes;
mod cache;
mod choice;
mod cuts;
pub mod describe;
mod dispatch;
mod figures;
mod flat;
mod grid;
pub mod hardware;
mod instructions;
mod load;
mod machine;
pub mod model;
mod pieces;
mod schedule;

pub use choice::plan_dense;
pub use cuts::SplitLimit;
pub use figures::Processors;
pub use grid::Grid;
pub use hardware::Hardware;
pub use load::{COLUMNS, Load};
pub use machine::{DeviceClass, LARGEST_BINDING, Machine, Tuning};
pub use pieces::Piece;
pub use schedule::{Axes, Needs, Schedule, plan_image, plan_strided};

#[cfg(test)]
mod tests;
