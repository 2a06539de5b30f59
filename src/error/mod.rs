//! One error a phase: shape, options, device, plan, bind, run, state, folding, a failed
//! check. [`Error`] is any of these; [`CacheError`], [`EncodeError`] and [`TuningError`] are those of the pipeline
//! cache, of timestamps and of tuning files.
//!
//! Errors hold plain data: numbers, names and shapes, so that they can be compared, kept and sent to
//! other threads.

mod any;
mod bind;
mod cache;
mod check;
mod config;
mod device;
mod encode;
mod fold;
mod plan;
mod run;
mod shape;
mod state;
mod tuning;

pub use any::Error;
pub use bind::BindError;
pub use cache::CacheError;
pub use check::CheckError;
pub use config::ConfigError;
pub use device::DeviceError;
pub use encode::EncodeError;
pub use fold::FoldError;
pub use plan::PlanError;
pub use run::RunError;
pub use shape::ShapeError;
pub use state::StateError;
pub use tuning::TuningError;
