//! The recording layer: the caller's buffers in, dispatches into the caller's pass.

mod backward;
mod buffers;
mod forward;
mod plan;
mod slots;

pub use buffers::{
    BackwardBuffers, InferenceBuffers, MomentsBuffers, MomentsRows, StatisticsRows, SumsRows,
    TrainBuffers,
};
pub(crate) use plan::NEEDS;
pub use plan::Plan;
pub(crate) use slots::given;
