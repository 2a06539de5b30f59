//! Batch normalization on any GPU that [wgpu] reaches: training, inference and gradients, in f32, f16 and
//! bf16.
//!
//! - [`BatchNorm`] is a layer that owns its parameters and statistics on a [`Gpu`]. It takes and gives [`Tensor`]s.
//! - [`Context`] is the entry to the recording layer, for those who have a device, buffers and compute passes of their
//!   own: [`Context::plan`] gives a [`Plan`], whose `bind_*` functions give a [`Binding`], which records
//!   into a pass. [`Context::plan_image`] does the same for textures.
//! - [`functional`] has moments over any axes, normalization, and folding into the weights before or behind.
//!
//! Tensors are row-major and dense. C is the number of channels; per-channel values are f32, and counts of batches u32.
//! Formulas are those of Ioffe and Szegedy, *Batch Normalization: Accelerating Deep Network Training by Reducing
//! Internal Covariate Shift*, 2015; [`Config`] says which of the frameworks' variants of them are used.
//!
//! Where forward used running statistics, backward treats them as constants: they are *frozen*, and without an activation
//! dx = dy·weight·inv_std. The layer and [`Plan::bind_backward`] choose this pass by the statistics that they are given;
//! elsewhere it is a function of its own, `backward_frozen`.
//!
//! | feature | what it adds |
//! |---|---|
//! | `blocking` (default) | blocking twins of the calls that read |
//! | `cpu` | `cpu`: the operations on all threads of the CPU, without a GPU |
//! | `state` | layers from safetensors files, under the names of several frameworks, and to them, under PyTorch's |
//! | `tuning` | `TuningFile`: sizes that `wgbn tune` measured, for `Context` and `Gpu` |
//! | `reference` | `reference`, `check` and `checked`: the operations in f64, and results compared with them |
//! | `internals` | the planner, the shaders and the dispatches. It promises nothing |
#![warn(missing_docs)]
#![cfg_attr(
    wgbn_host_only,
    allow(
        dead_code,
        unused_imports,
        reason = "what the host part has for the rest"
    )
)]

#[cfg(feature = "reference")]
pub mod check;
mod config;
#[cfg(feature = "cpu")]
pub mod cpu;
mod element;
pub mod error;
#[cfg(feature = "internals")]
pub mod internals;
#[cfg_attr(
    not(feature = "internals"),
    expect(
        unused_imports,
        reason = "`internals` shows more than the library needs"
    )
)]
mod operation;
#[cfg_attr(
    not(feature = "internals"),
    expect(
        unused_imports,
        reason = "`internals` shows more than the library needs"
    )
)]
mod plan;
mod reduction;
#[cfg(feature = "reference")]
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
mod sub_batches;
#[cfg(feature = "tuning")]
mod tuning;
mod weights;

pub use config::{Activation, Affine, Config, Momentum, NonFinite, RunningUpdate, RunningVariance};
pub use element::Element;
pub use error::Error;
pub use shape::{Pattern, View};
pub use state::LayerState;
#[cfg(feature = "state")]
pub use state::{Found, Lookup, Names};
pub use stats::{HostGradients, Moments, Parameters, RunningStatistics, SavedStatistics};
pub use sub_batches::SubBatches;
#[cfg(feature = "tuning")]
pub use tuning::TuningFile;
pub use weights::{Outside, Weights};

/// What needs wgpu. The files lie beside this one, and all names are re-exported below, so that `crate::binding` and the like
/// find them.
#[cfg(not(wgbn_host_only))]
#[path = "."]
mod with_wgpu {
    pub(crate) mod binding;
    pub(crate) mod bindings;
    pub(crate) mod canary;
    #[cfg(feature = "reference")]
    pub mod checked;
    pub(crate) mod context;
    pub(crate) mod faults;
    pub mod functional;
    pub(crate) mod gpu;
    pub(crate) mod image;
    pub(crate) mod layer;
    pub(crate) mod pipeline_cache;
    pub(crate) mod proof;
    pub(crate) mod readback;
    pub(crate) mod record;
    pub(crate) mod shader_module;
    pub(crate) mod tensor;

    pub use binding::Binding;
    #[cfg(feature = "reference")]
    pub use canary::Canary;
    pub use context::Context;
    #[cfg(feature = "blocking")]
    pub use gpu::adapters_blocking;
    pub use gpu::{Adapter, Gpu, adapters};
    pub use image::{
        ImageDraw, ImageFromTensorBuffers, ImageInferenceBuffers, ImageLayout, ImagePlan,
        ImageRender, ImageRenderInputs, ImageStatisticsBuffers, ImageTexture, ImageToTensorBuffers,
        ImageTrainBuffers, ImageWarmUp,
    };
    pub use layer::{BackwardRequest, BatchNorm, Forward, ForwardRequest, Gradients, Mode, Saved};
    pub use record::{
        BackwardBuffers, InferenceBuffers, MomentsBuffers, MomentsRows, Plan, StatisticsRows,
        SumsRows, TrainBuffers, WarmUp, WeightsBuffer,
    };
    pub use tensor::Tensor;
    pub use wgpu;
}
#[cfg(not(wgbn_host_only))]
pub use with_wgpu::*;

/// The programs of the README, compiled and run as tests of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
