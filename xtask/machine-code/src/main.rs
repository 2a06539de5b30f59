//! What the compiler of a GPU's driver makes of the shaders: compiles the closed list on the one
//! device of Vulkan that is there, which need not exist as hardware, and prints figures of it as JSON.
//!
//! `cargo xtask machine-code` starts it, for each family of GPUs: `machine-code FAMILY plain`, and `weighted` for the
//! variants with weights. A process that makes pipelines by the hundred crashes in one of the drivers.

mod figures;
mod hot_loop;
mod isa;
mod occupancy;
mod spirv;
mod vulkan;

use std::process::ExitCode;

use serde_json::{Value, json};

fn main() -> ExitCode {
    let outcome = match &std::env::args().skip(1).collect::<Vec<_>>()[..] {
        [family, part] if part == "plain" => run(family, false),
        [family, part] if part == "weighted" => run(family, true),
        _ => Err("usage: machine-code FAMILY plain|weighted".to_owned()),
    };
    match outcome {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("machine-code: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn run(family: &str, weighted: bool) -> Result<Value, String> {
    let device = vulkan::Device::open()?;
    let mut rows = Vec::new();
    for case in figures::cases(weighted) {
        rows.extend(case.rows(family, &device)?);
    }
    Ok(json!({
        "family": family,
        "device": device.name.trim(),
        "driver": device.driver,
        "rows": rows,
    }))
}
