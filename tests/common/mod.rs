//! What tests share: data, cases, implementations, the judge.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod case;
pub mod data;
pub mod gpu;
pub mod outcome;
