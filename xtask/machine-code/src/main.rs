//! What the compiler of a GPU's driver makes of the shaders: compiles the closed list on the one
//! device of Vulkan that is there, which need not exist as hardware, and prints figures of it as JSON.
//!
//! `cargo xtask machine-code` starts it, once for each family of GPUs: `machine-code FAMILY`.

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
        [family] => run(family),
        _ => Err("usage: machine-code FAMILY".to_owned()),
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

fn run(family: &str) -> Result<Value, String> {
    let device = vulkan::Device::open()?;
    let mut rows = Vec::new();
    for case in figures::cases() {
        rows.extend(case.rows(family, &device)?);
    }
    Ok(json!({
        "family": family,
        "device": device.name.trim(),
        "driver": device.driver,
        "rows": rows,
    }))
}
