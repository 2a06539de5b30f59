//! Adapters and devices.

/// No adapter, or one that cannot run these kernels.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// There is no adapter at all.
    #[error("no GPU adapter was found")]
    NoAdapter,
    /// No adapter's name contains the one asked for.
    #[error("no adapter is named like {name:?}; found: {}", if found.is_empty() { "none".to_owned() } else { found.join(", ") })]
    NoAdapterNamed {
        /// The part of a name asked for.
        name: String,
        /// Names of the adapters there are.
        found: Vec<String>,
    },
    /// The adapter refused to make a device.
    #[error("adapter {adapter:?} gave no device: {reason}")]
    Request {
        /// The adapter's name.
        adapter: String,
        /// What wgpu said.
        reason: String,
    },
    /// Sizes that do not go together, of `Context::with_tuning`.
    #[cfg(feature = "internals")]
    #[error(
        "a planar workgroup of {workgroup} is not made of teams of {team}, or an interleaved size is 0"
    )]
    Tuning {
        /// Invocations of a workgroup.
        workgroup: u32,
        /// Lanes of a team.
        team: u32,
    },
    /// The device made no buffer of a few kilobytes.
    #[error("the device cannot be used: {reason}")]
    Unusable {
        /// What wgpu said.
        reason: String,
    },
    /// The device is below what the kernels need.
    #[error("the device's {limit} is {got}, expected at least {expected}")]
    Limit {
        /// The limit's name in wgpu.
        limit: &'static str,
        /// The device's value.
        got: u64,
        /// What is needed.
        expected: u64,
    },
}
