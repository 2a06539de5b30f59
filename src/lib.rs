#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod binding;
mod bindings;
mod canary;
pub mod check;
mod config;
mod context;
#[cfg(feature = "cpu")]
pub mod cpu;
mod element;
pub mod error;
mod faults;
pub mod functional;
mod gpu;
mod image;
#[cfg(feature = "internals")]
pub mod internals;
mod layer;
#[cfg_attr(
    not(feature = "internals"),
    expect(
        unused_imports,
        reason = "`internals` shows more than the library needs"
    )
)]
mod operation;
mod pipeline_cache;
#[cfg_attr(
    not(feature = "internals"),
    expect(
        unused_imports,
        reason = "`internals` shows more than the library needs"
    )
)]
mod plan;
mod record;
mod reduction;
pub mod reference;
#[cfg_attr(
    not(feature = "internals"),
    expect(
        unused_imports,
        reason = "`internals` shows more than the library needs"
    )
)]
mod shaders;
mod shape;
mod state;
mod stats;
mod tensor;

pub use binding::Binding;
pub use canary::Canary;
pub use check::Check;
pub use config::{Activation, Affine, Config, Momentum, NonFinite, Running, RunningVariance};
pub use context::Context;
pub use element::Element;
pub use error::Error;

#[cfg(feature = "blocking")]
pub use gpu::adapters_blocking;
pub use gpu::{Adapter, Gpu, adapters};
pub use image::{
    ImageDraw, ImageInferenceBuffers, ImagePlan, ImageRender, ImageRenderInputs,
    ImageStatisticsBuffers, ImageTexture, ImageTrainBuffers, ImageWarmUp,
};
pub use layer::{BackwardRequest, BatchNorm, Forward, ForwardRequest, Gradients, Mode, Saved};
pub use record::{
    BackwardBuffers, InferenceBuffers, MomentsBuffers, MomentsRows, Plan, StatisticsRows, SumsRows,
    TrainBuffers, WarmUp,
};
pub use shape::{Pattern, View};
pub use state::LayerState;
#[cfg(feature = "state")]
pub use state::widened;
pub use stats::{HostGradients, Moments, Parameters, RunningStatistics, SavedStatistics};
pub use tensor::Tensor;
pub use wgpu;
