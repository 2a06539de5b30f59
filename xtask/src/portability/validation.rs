//! Tests under Vulkan's validation layer, with synchronization validation: Debian 13's layer, on
//! lavapipe of the same age.

mod log;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::{Report, Row, drivers, suite};
use crate::debian::{self, Unpacked};
use crate::{ADAPTER_LOG, adapter};

/// The layer, the driver and the loader.
const PACKAGES: [&str; 3] = [
    "vulkan-validationlayers",
    "mesa-vulkan-drivers",
    "libvulkan1",
];

const DRIVER: &str = "/usr/share/vulkan/icd.d/lvp_icd.json";
const LAYERS: &str = "/usr/share/vulkan/explicit_layer.d";
const LAYER: &str = "VK_LAYER_KHRONOS_validation";

/// What the layer does. It writes to where the tests write: a file of its own it would begin again with every
/// instance. As information it says what it validates, once an instance is made.
const SETTINGS: &str = "\
khronos_validation.debug_action = VK_DBG_LAYER_ACTION_LOG_MSG
khronos_validation.log_filename = stdout
khronos_validation.report_flags = error,warn,perf,info
khronos_validation.validate_sync = true
khronos_validation.syncval_submit_time_validation = true
khronos_validation.syncval_shader_accesses_heuristic = true
";

/// Test programs and some tests of each: every operation in one pass with others, in place, in parts, in
/// pieces and on textures, and a layer's own submissions. What the layer sees of a kernel depends
/// neither on its data nor much on its variant, and each takes the driver seconds to compile.
const TESTS: [(&str, &[&str]); 2] = [
    (
        "kernels",
        &[
            "recording::",
            "shards::parts_with_a_residual",
            "textures::recorded::",
            "textures::render::",
        ],
    ),
    ("api", &["functional::normalize::", "layer::"]),
];

pub fn run(report: &mut Report, folder: &Path) -> Result<(), String> {
    let name = "Vulkan's validation layer, with synchronization";
    let unpacked = match debian::unpack(&PACKAGES) {
        Ok(unpacked) => unpacked,
        Err(reason) => {
            report.missing_of_debian(format!("{name}: {reason}"));
            return Ok(());
        }
    };
    let start = Instant::now();
    let mut row = Row {
        name: name.to_owned(),
        version: version(&unpacked),
        ..Row::default()
    };
    let mut messages = log::Messages::default();
    let settings = folder.join("vk_layer_settings.txt");
    fs::write(&settings, SETTINGS).map_err(|e| format!("{}: {e}", settings.display()))?;
    for (test, filters) in TESTS {
        let program = suite::program(test)?;
        let adapters = folder.join(format!("validation.{test}.adapters.txt"));
        adapter::start_log(&adapters)?;
        let mut command = validated(&unpacked, &program, &settings);
        command.arg("--show-output").args(filters);
        // The layer keeps what it validated, which no run should find of another's.
        command.env("XDG_CACHE_HOME", folder.join("cache"));
        command.env(ADAPTER_LOG, &adapters);
        let output = folder.join(format!("validation.{test}.log"));
        row.add(suite::run_to_end(&mut command, 1, &output)?);
        if let Err(reason) = adapter::read_log(&adapters) {
            row.failures.push(reason);
        }
        let text = fs::read(&output).map_err(|e| format!("{}: {e}", output.display()))?;
        messages.read(test, &String::from_utf8_lossy(&text));
    }
    row.skip("all other tests: the layer sees nothing of their data, and their kernels take long to compile");
    row.skips.extend(messages.known());
    row.failures.extend(messages.failures());
    report.ran(start, row);
    Ok(())
}

/// The layer's version, as its manifest says it.
fn version(unpacked: &Unpacked) -> String {
    let manifest = unpacked
        .file(LAYERS)
        .join("VkLayer_khronos_validation.json");
    let text = fs::read_to_string(manifest).unwrap_or_default();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let version = manifest["layer"]["api_version"].as_str();
    format!("Debian 13, {}", version.unwrap_or("of unknown version"))
}

/// A program under the layer.
fn validated(unpacked: &Unpacked, program: &Path, settings: &Path) -> Command {
    // Built for Debian 13's C library, and so run with it.
    let mut command = unpacked.command(program, &[]);
    for (name, value) in drivers::variables(&unpacked.file(DRIVER)) {
        command.env(name, value);
    }
    command
        .env("WGPU_BACKEND", "vulkan")
        .env("VK_LAYER_PATH", unpacked.file(LAYERS))
        .env("VK_INSTANCE_LAYERS", LAYER)
        .env("VK_LAYER_SETTINGS_PATH", settings)
        // Layers that the system has were built for its own libraries.
        .env("VK_LOADER_LAYERS_DISABLE", "~implicit~");
    command
}
