//! The planner, the shader table, the recorded dispatches and activations in f64: what the tests and tools of
//! this project need of the library's inside.
//!
//! Nothing here is part of the public API: any release may change or drop any of it. The feature
//! `internals` also makes public: `Context::with_tuning`, `Context::retuned`, `Context::compiled`, `Gpu::with_tuning`,
//! `TuningFile::new`, `TuningFile::contents`,
//! `Plan::schedule`, `Binding::dispatches`, `functional::bind_moments` and `functional::bind_normalize`.

#[cfg(not(wgbn_host_only))]
pub use crate::binding::{Dispatch, Resource};
#[cfg(not(wgbn_host_only))]
pub use crate::proof::{HalfKernel, Made};

pub use crate::gpu::{USEFUL, device_request};

/// An activation's number in the shaders.
pub fn activation_code(activation: crate::Activation) -> u32 {
    activation.code()
}

/// One description of each operation: its kernels, and the buffers that it binds.
pub mod operation {
    pub use crate::operation::*;
}

/// An activation in f64, and how steep it is at most.
#[cfg(feature = "reference")]
pub mod epilogue {
    pub use crate::reference::epilogue::{activate, steepest};
}

/// The planner: from a view and a machine to grids and scratch.
pub mod plan {
    pub use crate::plan::*;
}

/// The closed list of shader variants, and their sources.
pub mod shaders {
    pub use crate::shaders::*;
}

/// Values of any type that a file may have, in f32.
#[cfg(feature = "state")]
pub mod values {
    pub use crate::state::values::*;
}

/// What a tuning file holds.
#[cfg(feature = "tuning")]
pub mod tuning {
    pub use crate::tuning::{AdapterId, Contents, Figures, Gain, Rate, SCHEMA};
}
