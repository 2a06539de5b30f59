//! What `cargo xtask test` asks the tests for: which adapters they ran on, and what they left out.

use std::io::Write;

/// Puts on record that the calling test leaves this out, since the machine or the adapter cannot do it.
pub fn skipped(what: &str) {
    println!("skipped: {what}");
    append("WGBN_SKIPPED_LOG", &[what]);
}

/// Appends these fields and the test's name to the file that `variable` names, if it does.
pub fn append(variable: &str, fields: &[&str]) {
    let Some(path) = std::env::var_os(variable) else {
        return;
    };
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("unnamed test");
    let line = format!("{}\t{test}\n", fields.join("\t"));
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path);
    file.and_then(|mut file| file.write_all(line.as_bytes()))
        .unwrap_or_else(|e| panic!("{variable}: {e}"));
}
