//! What the tests, `wgbn verify`, the fuzzers and the benchmarks share: cases and their data, ways to cut
//! the work, the engines that compute a case, and the judges of what came out.
//!
//! A case asks an [`Engine`](outcome::Engine) (the CPU path, a GPU, or a bridge to another library) and a judge
//! compares its outcome with the reference.

pub mod agreement;
pub mod axes;
pub mod case;
pub mod cuts;
pub mod data;
pub mod dawn;
pub mod golden;
pub mod gpu;
pub mod layer;
pub mod layout;
pub mod log;
pub mod outcome;
pub mod parts;
pub mod texels;
pub mod weights;

use std::path::{Path, PathBuf};

/// A file or folder of the repository, by its path from the root.
pub fn repository(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.join(path)
}
