//! What tests share: data, cases, implementations, the judge.

#![allow(dead_code, reason = "each test binary uses its own part")]

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
pub mod outcome;
