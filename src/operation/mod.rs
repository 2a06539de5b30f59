//! One description of each operation: which kernels run on which grids, which buffers they bind, and
//! what those are called and hold. It knows nothing of wgpu.
//!
//! Buffers ([`record`](crate::Plan)), images and the functional forms say only which operation they
//! want and which buffers their caller gave; bindings are made from what is said here.

mod asked;
mod buffers;
mod list;
pub(crate) mod params;
mod rules;
mod steps;

pub(crate) use asked::{Asked, AskedWeights, ImageTensor, WeightAxes};
pub(crate) use buffers::rows;
pub use buffers::{Buffer, Given, Holds};
pub use list::Operation;
pub use steps::Stage;
pub(crate) use steps::Step;

#[cfg(test)]
mod tests;
