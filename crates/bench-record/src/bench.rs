//! Times of operations.

use crate::field::{Field, Number};
use crate::problem::Problem;

/// What ran, as a row's field `engine` names it, and in words.
pub const ENGINES: [(&str, &str); 4] = [
    (
        "wgpu-batchnorm",
        "this library's kernels, on an adapter of wgpu",
    ),
    ("wgpu-batchnorm-cpu", "this library's CPU path"),
    ("pytorch", "PyTorch's own operations"),
    ("burn", "Burn's layer, on its wgpu backend"),
];

const OPS: [&str; 7] = [
    "train",
    "inference",
    "backward",
    "frozen",
    "moments",
    "step",
    "sum",
];

pub fn check(file: &Field<'_>, problems: &mut Vec<Problem>) {
    file.text("version", problems);
    file.text_or_null("commit", problems);
    file.date("date", problems);
    let host = file.get("host");
    host.number("threads", Number::Count, problems);
    host.text_or_null("cpu", problems);

    let devices = file.filled_list("devices", problems);
    for device in &devices {
        device.text("name", problems);
        device.one_of("kind", &["gpu", "software", "cpu"], problems);
        device.text("backend", problems);
        device.text("driver", problems);
    }
    for row in file.list("bandwidth", problems) {
        on_a_device(&row, &devices, problems);
        row.text("what", problems);
        row.number("gb_per_s", Number::Positive, problems);
        row.number("bytes", Number::Positive, problems);
    }
    let rows = file.list("rows", problems);
    for row in &rows {
        operation(row, &devices, problems);
    }
    // Only our own program measures what the host does.
    let host_rows = match file.get("host_rows").value.is_null() {
        true => Vec::new(),
        false => file.list("host_rows", problems),
    };
    for row in &host_rows {
        engine(row, &devices, problems);
        row.text("what", problems);
        times(row, problems);
    }
    if rows.is_empty() && host_rows.is_empty() {
        file.get("rows")
            .wrong("a row, here or in host_rows", problems);
    }
    for skipped in file.list("skipped", problems) {
        if !skipped.value.is_string() {
            skipped.wrong("a text", problems);
        }
    }
}

fn operation(row: &Field<'_>, devices: &[Field<'_>], problems: &mut Vec<Problem>) {
    engine(row, devices, problems);
    row.text("suite", problems);
    row.one_of("op", &OPS, problems);
    row.one_of("layout", &["nchw", "nhwc", "nc"], problems);
    // Older files are of f32 alone and do not say so.
    if !row.get("element").value.is_null() {
        row.one_of("element", &["f32", "f16", "bf16"], problems);
    }
    let mut product = 1.0;
    for length in row.filled_list("shape", problems) {
        match length.value.as_u64() {
            Some(n) if n > 0 => product *= n as f64,
            _ => length.wrong("a whole number of 1 or more", problems),
        }
    }
    let elements = row.number("elements", Number::Count, problems);
    if elements.is_some_and(|elements| elements != product) {
        row.get("elements")
            .wrong(&format!("the product of the shape, {product}"), problems);
    }
    row.number("ideal_bytes", Number::Count, problems);
    row.number("gb_per_s", Number::Positive, problems);
    for share in ["of_copy", "of_floor"] {
        if !row.get(share).value.is_null() {
            row.number(share, Number::Positive, problems);
        }
    }
    times(row, problems);
    row.one_of("clock", &["wall", "timestamps", "events"], problems);
    row.text("checked", problems);
}

/// What ran, on one of the file's devices, of a kind that it can run on.
fn engine(row: &Field<'_>, devices: &[Field<'_>], problems: &mut Vec<Problem>) {
    row.one_of("engine", &ENGINES.map(|(name, _)| name), problems);
    on_a_device(row, devices, problems);
    let name = row.get("device");
    let device = devices.iter().find(|d| d.get("name").value == name.value);
    let on_cpu = device.and_then(|d| Some(d.value["kind"].as_str()? == "cpu"));
    let fits = match (row.get("engine").value.as_str(), on_cpu) {
        (Some("wgpu-batchnorm-cpu"), Some(on_cpu)) => on_cpu,
        (Some("wgpu-batchnorm" | "burn"), Some(on_cpu)) => !on_cpu,
        _ => true,
    };
    if !fits {
        row.get("engine")
            .wrong("an engine that runs on this device", problems);
    }
}

fn on_a_device(row: &Field<'_>, devices: &[Field<'_>], problems: &mut Vec<Problem>) {
    let device = row.get("device");
    let known = |d: &Field<'_>| d.value["name"] == *device.value;
    if !device.value.is_string() || !devices.iter().any(known) {
        device.wrong("the name of one of the file's devices", problems);
    }
}

/// The median and the quartiles of the runs.
fn times(row: &Field<'_>, problems: &mut Vec<Problem>) {
    let times = ["low_ms", "median_ms", "high_ms"];
    let found = times.map(|name| row.number(name, Number::Positive, problems));
    if let [Some(low), Some(median), Some(high)] = found
        && !(low <= median && median <= high)
    {
        row.get("median_ms")
            .wrong(&format!("a time from {low} to {high}"), problems);
    }
    row.number("runs", Number::Count, problems);
}
