//! The kernels against the reference: every case through every implementation, and what the
//! judge itself is worth.

#[path = "../common/mod.rs"]
mod common;

mod cases;
