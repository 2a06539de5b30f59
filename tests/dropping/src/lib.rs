//! A Vulkan layer that leaves out commands, between wgpu and a driver: a device that does not do all
//! that it is told to. Tests switch it on and see whether each check notices.
//!
//! The loader finds it by a manifest in a folder that `VK_ADD_LAYER_PATH` names, and puts it into every
//! instance of a process that has `VK_INSTANCE_LAYERS` set to [`NAME`]. `WGBN_DROP` says what is dropped
//! ([`Mode`]); without it nothing is.

#[cfg(target_os = "linux")]
mod chain;
#[cfg(target_os = "linux")]
mod commands;
#[cfg(target_os = "linux")]
mod functions;
mod mode;

pub use mode::Mode;

/// What the loader calls the layer.
pub const NAME: &str = "VK_LAYER_WGBN_dropping";

/// The environment variable that holds the [`Mode`].
pub const VARIABLE: &str = "WGBN_DROP";

/// The manifest by which the loader finds the layer in `library`, an absolute path.
pub fn manifest(library: &str) -> String {
    format!(
        r#"{{
  "file_format_version": "1.2.0",
  "layer": {{
    "name": "{NAME}",
    "type": "GLOBAL",
    "library_path": {library:?},
    "api_version": "1.3.239",
    "implementation_version": "1",
    "description": "Leaves out commands"
  }}
}}
"#
    )
}
