//! Checked runs: a layer's passes and the functional forms, each with the report of its comparison with the
//! reference.
//!
//! Each function has a twin that blocks, with the suffix `_blocking` (feature `blocking`).
//!
//! The functions here do what the functions of the same names do. They also read inputs and results back and
//! judge them on the host ([`check`](crate::check)), in f64 on one core, which is slow. The results are the
//! same, bit for bit, as without it.
//!
//! [`Checked`] is a layer whose every pass fails if a result is beyond its bound.
//!
//! ```
//! # use wgpu_batchnorm::{Adapter, BatchNorm, Config, Gpu, Mode, Tensor};
//! use wgpu_batchnorm::checked::{self, Checked};
//!
//! # pollster::block_on(async {
//! # let gpu = Gpu::new(&Adapter::Best).await?;
//! # let x = Tensor::upload(&gpu, &[2, 3], &[1.0, -2.0, 0.5, 3.0, 2.0, 8.0])?;
//! let mut layer = BatchNorm::new(&gpu, 3, Config::pytorch())?;
//! let (forward, report) = checked::forward(&mut layer, &x, Mode::Train).await?;
//! for finding in &report.findings {
//!     println!("{finding}"); // y[4] is …, expected …: error 3.1e-8 of its scale, bound 5.0e-7
//! }
//! report.enforce()?;
//!
//! let mut layer = Checked::new(layer); // enforces by itself
//! let forward = layer.forward(&x, Mode::Train).await?;
//! let gradients = layer.backward(&x, &forward.y, &forward.saved).await?;
//! # Ok::<_, wgpu_batchnorm::Error>(())
//! # }).unwrap();
//! ```

#[cfg(feature = "blocking")]
mod blocking;
mod functional;
mod host;
mod layer;
mod proof;

#[cfg(feature = "blocking")]
pub use blocking::{
    backward_blocking, forward_blocking, infer_blocking, moments_blocking, normalize_blocking,
    weighted_moments_blocking,
};
pub use functional::{moments, normalize, weighted_moments};
pub use layer::{Checked, backward, forward, infer};
