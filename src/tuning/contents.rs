//! What a tuning file holds.

use serde::{Deserialize, Serialize};

use crate::plan::Tuning;

/// Everything in the file, under its own names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "the object that a tuning file is")]
pub struct Contents {
    /// The number of this form.
    pub schema: u64,
    /// What it was measured on, and is for.
    pub adapter: AdapterId,
    /// When: UTC, such as `2026-01-31T23:59:59Z`.
    pub made: String,
    /// By which command.
    pub command: String,
    /// How work is cut.
    pub sizes: Tuning,
    /// What was measured besides.
    pub figures: Figures,
    /// What the sizes gained, a row for each shape and operation that was tried.
    pub gains: Vec<Gain>,
}

/// An adapter and its driver, as wgpu tells them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdapterId {
    /// The adapter's name.
    pub name: String,
    /// The backend, in wgpu's spelling.
    pub backend: String,
    /// The vendor's number.
    pub vendor: u32,
    /// The device's number.
    pub device: u32,
    /// The driver's name.
    pub driver: String,
    /// Its version.
    pub driver_info: String,
}

/// Figures of the machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// Copies by a kernel, over tensors of several sizes.
    pub copy: Vec<Rate>,
    /// Sums by a kernel, over the same.
    pub sum: Vec<Rate>,
    /// Between a dispatch and the next that waits for it, in µs.
    pub dispatch_us: f64,
    /// Workgroups of 256 lanes that run side by side on the whole device, where each waits for memory.
    pub workgroups_at_once: f64,
    /// The largest tensor that is read again much faster than from memory, in bytes, where one was found.
    #[serde(deserialize_with = "Deserialize::deserialize")]
    pub cache_bytes: Option<u64>,
    /// Whether the device reads and rounds f16 right by its float instructions.
    pub f16_proved: bool,
}

/// A bandwidth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Bytes of the tensor.
    pub bytes: u64,
    /// 10⁹ bytes moved a second: a copy moves each byte twice.
    pub gb_per_s: f64,
}

/// A shape and an operation, before and after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gain {
    /// The shape: N, C, then the rest, whatever the layout.
    pub shape: Vec<u64>,
    /// Where the channels lie: nchw, nhwc or nc.
    pub layout: String,
    /// The operation.
    pub operation: String,
    /// With the sizes that the search began with.
    pub before_ms: f64,
    /// With the file's.
    pub after_ms: f64,
}
