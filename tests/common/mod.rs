//! What tests share: data, cases, implementations, the judge.

#![allow(dead_code, reason = "each test binary uses its own part")]

#[path = "../../src/bin/wgbn/agreement.rs"]
pub mod agreement;
pub mod axes;
pub mod case;
#[path = "../../src/bin/wgbn/cuts.rs"]
pub mod cuts;
#[path = "../../src/bin/wgbn/data.rs"]
pub mod data;
pub mod dawn;
pub mod golden;
pub mod gpu;
pub mod layer;
#[path = "../../src/bin/wgbn/layout.rs"]
pub mod layout;
pub mod log;
pub mod outcome;
#[path = "../../src/bin/wgbn/parts.rs"]
pub mod parts;
#[path = "../../src/bin/wgbn/texels.rs"]
pub mod texels;
