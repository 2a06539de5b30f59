//! Tests that left something out: all are printed, and only those that are listed may.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Tests append a line to the file that this variable names, for whatever they leave out.
pub const LOG: &str = "WGBN_SKIPPED_LOG";

/// Tests that leave something out where the machine or the adapter cannot do it.
const MAY: [&str; 10] = [
    // Root may write to any folder.
    "a_folder_that_is_locked",
    // Users may not mount everywhere.
    "a_full_file_system",
    // Only on Linux, and where tensors are in the process's memory.
    "no_room_for_a_tensor",
    // Adapters may take subnormal numbers for zero.
    "values_as_small_and_as_large_as_their_squares_allow",
    // To draw into Rg11b10Ufloat is a feature that devices need not have.
    "hdr_targets_are_drawn",
    // SwiftShader's halves that are not finite.
    "a_channel_that_is_not_finite_is_nan_and_no_other",
    "alpha_is_kept_bit_for_bit_and_the_rest_is_as_without",
    // Software adapters, and backends other than Vulkan.
    "a_pipeline_cache_survives_and_damage_does_not_reach_the_driver",
    "timestamps_stand_around_an_operation",
    "a_device_without_timestamps_says_so",
];

/// Prints what was left out, and fails where that may not be.
pub fn read(log: &Path) -> Result<(), String> {
    match fs::read_to_string(log) {
        Ok(text) => check(&text),
        Err(error) if error.kind() == ErrorKind::NotFound => check(""),
        Err(error) => Err(format!("cannot read {}: {error}", log.display())),
    }
}

fn check(log: &str) -> Result<(), String> {
    let mut wrong = Vec::new();
    for line in log.lines() {
        let (what, test) = line.rsplit_once('\t').unwrap_or((line, ""));
        println!("skipped: {what} ({test})");
        let name = test.rsplit("::").next().unwrap_or(test);
        if !MAY.contains(&name) {
            wrong.push(line);
        }
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(format!("tests may not skip this: {}", wrong.join("; "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_may_be_skipped() {
        assert_eq!(check(""), Ok(()));
        let listed = "root may write anywhere\tmachine::unix::a_folder_that_is_locked\n";
        assert_eq!(check(listed), Ok(()));
        for line in ["no adapter\tcases::gpu\n", "a line of another form\n"] {
            assert!(check(&format!("{listed}{line}")).is_err());
        }
    }
}
