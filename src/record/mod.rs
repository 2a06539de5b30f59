//! The recording layer: the caller's buffers in, dispatches into the caller's pass.

mod backward;
mod buffers;
mod forward;
mod plan;
mod request;
mod warm_up;
mod weights;

pub use buffers::{
    BackwardBuffers, InferenceBuffers, MomentsBuffers, MomentsRows, StatisticsRows, SumsRows,
    TrainBuffers,
};
pub use plan::Plan;
pub use warm_up::WarmUp;
pub use weights::WeightsBuffer;
