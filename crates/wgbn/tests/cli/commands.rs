//! `demo`, `info`, `verify`, and help.

use serde_json::Value;

use crate::support::{Folder, record};

/// The demo's table: two shapes, four operations each, all within their bounds.
pub fn assert_demo_table(text: &str) {
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("1797×"))
        .map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect()
        })
        .collect();
    let operations = ["train forward", "backward", "inference", "backward, frozen"];
    let mut expected = operations.map(|op| ("1797×64", op)).to_vec();
    expected.extend(operations.map(|op| ("1797×1×8×8", op)));
    let got: Vec<_> = rows.iter().map(|row| (row[0], row[1])).collect();
    assert_eq!(got, expected, "{text}");
    for row in rows {
        let (error, bound): (f64, f64) = (row[2].parse().unwrap(), row[3].parse().unwrap());
        assert!(error <= bound, "{row:?}");
        assert!(row[5].ends_with(" ms"), "{row:?}");
    }
}

#[test]
fn demo_prints_a_table() {
    for device in ["auto", "gpu", "cpu"] {
        let run = Folder::new().wgbn(&format!("demo --device {device}"));
        let text = run.succeeded();
        let line = text.lines().find(|line| line.starts_with("running on "));
        let line = line.unwrap_or_else(|| panic!("no adapter in {text}"));
        let (name, _) = line["running on ".len()..].split_once(';').unwrap();
        assert_eq!(name == "CPU path", device == "cpu", "{line}");
        record(name);
        assert_demo_table(text);
    }
}

#[test]
fn info_names_every_adapter() {
    let folder = Folder::new();
    let run = folder.wgbn("info --json");
    let value: Value = serde_json::from_str(run.succeeded()).unwrap();
    let adapters = value["adapters"].as_array().unwrap();
    assert!(!adapters.is_empty(), "these tests need an adapter");
    let run = folder.wgbn("info");
    let text = run.succeeded();
    for adapter in adapters {
        assert!(text.contains(adapter["name"].as_str().unwrap()), "{text}");
        assert!(
            text.contains(adapter["backend"].as_str().unwrap()),
            "{text}"
        );
        assert!(adapter["max_buffer_size"].as_u64() > Some(0), "{adapter}");
        // What is offered of these is asked for, and got.
        for name in [
            "subgroups",
            "timestamps",
            "max_compute_invocations_per_workgroup",
            "max_compute_workgroup_storage_size",
        ] {
            assert_eq!(adapter["opened_with"][name], adapter[name], "{adapter}");
        }
        assert!(adapter["opened_with"]["shader_f16"].is_boolean());
        assert!(adapter["opened_with"]["pipeline_cache"].is_boolean());
    }
    assert!(text.contains("opened with     subgroups "), "{text}");
    folder.wgbn("info --require-adapter").succeeded();
    assert!(folder.names().is_empty());
}

/// On every adapter there is: what holds on all of them.
#[test]
fn info_says_how_a_tensor_is_planned() {
    let folder = Folder::new();
    let plan = |arguments: &str| {
        let text = folder.wgbn(&format!("info --shape {arguments}"));
        let value = folder.wgbn(&format!("info --json --shape {arguments}"));
        let value: Value = serde_json::from_str(value.succeeded()).unwrap();
        let lines = value["adapters"][0]["plan"].as_array().unwrap();
        for line in lines {
            assert!(text.succeeded().contains(line.as_str().unwrap()), "{line}");
        }
        text.stdout
    };
    for (arguments, said) in [
        ("32,64,56,56", "outer 32, channels 64, inner 3136: planar"),
        ("32,64,56,56", "four neighbours of a run at a time"),
        ("32,64,56,56", "inference  one dispatch of"),
        ("32,64,56,56", "dweight and dbias on"),
        ("4096,512", "outer 4096, channels 512, inner 1: interleaved"),
        ("4096,512", "four channels at a time"),
        (
            "9,7,2 --axis -1",
            "one value at a time: 2 is no multiple of 4",
        ),
        (
            "5,5 --axis 0",
            "a lane's share would be too small with more",
        ),
        // 96 GB: more than any binding holds.
        ("8000,3,1000,1000", "one binding holds "),
    ] {
        let text = plan(arguments);
        assert!(text.contains(said), "{arguments}: no {said:?} in {text}");
    }
    folder.refused("info --shape 3", 2, "rank 1");
    folder.refused("info --shape 2,3 --axis 5", 2, "axis 5");
}

fn verify(device: &str) {
    let folder = Folder::new();
    let (text, value) = verified(&folder, &format!("verify --quick --device {device}"));
    assert_eq!(value["device"] == "CPU path", device == "cpu");
    let rows = value["rows"].as_array().unwrap();
    for pattern in ["planar", "interleaved"] {
        for operation in [
            "train forward",
            "inference",
            "backward",
            "backward, frozen",
            "moments",
        ] {
            let row = rows.iter().find(|row| {
                let variant = row["variant"].as_str().unwrap();
                row["operation"] == operation && variant.starts_with(pattern)
            });
            assert!(row.is_some(), "no {operation}, {pattern}: {rows:?}");
        }
    }
    for row in rows {
        assert_eq!(row["passed"], true, "{row}");
        assert!(row["error"].as_f64() <= row["bound"].as_f64(), "{row}");
        assert!(row["runs"].as_u64() > Some(0), "{row}");
        let exact = row["exact"].as_bool().unwrap();
        assert_eq!(exact, row["bound"].as_f64() == Some(0.0), "{row}");
    }
    assert!(rows.iter().any(|row| row["exact"] == true), "{rows:?}");
    assert_eq!(value["failures"], serde_json::json!([]));
    let ran = value["kernels"]["ran"].as_array().unwrap();
    assert_eq!(ran.is_empty(), device == "cpu", "{ran:?}");
    assert!(text.contains(value["device"].as_str().unwrap()), "{text}");
    assert!(!text.contains("FAILED"), "{text}");
    assert_eq!(
        text.lines().filter(|line| line.contains("  ok  ")).count(),
        rows.len()
    );
}

/// What a sweep prints, and the report it writes.
pub fn verified(folder: &Folder, command: &str) -> (String, serde_json::Value) {
    let run = folder.wgbn(&format!("{command} --json report.json"));
    let text = run.succeeded().to_owned();
    let report = std::fs::read_to_string(folder.path("report.json")).unwrap();
    let value: serde_json::Value = serde_json::from_str(&report).unwrap();
    record(value["device"].as_str().unwrap());
    (text, value)
}

#[test]
fn verify_of_one_case() {
    let folder = Folder::new();
    let (_, value) = verified(&folder, "verify --case 13 --device cpu");
    assert_eq!(value["cases"], 1);
    for row in value["rows"].as_array().unwrap() {
        assert_eq!(row["case"], 13, "{row}");
    }
    folder.refused("verify --case 0", 2, "there are 1 to");
    folder.refused("verify --case 13 --quick", 2, "--quick");
    folder.refused("verify --device cpu --case 200", 2, "the CPU path has not");
    folder.refused(
        "verify --case 13 --device cpu --json nowhere/report.json",
        2,
        "there is no such output folder",
    );
}

#[test]
fn verify_of_every_case_on_the_cpu_path() {
    let folder = Folder::new();
    let (_, value) = verified(&folder, "verify --device cpu");
    assert!(value["cases"].as_u64() > Some(120), "{value}");
    assert_eq!(value["failures"], serde_json::json!([]));
}

#[test]
fn verify_on_the_cpu_path() {
    verify("cpu");
}

#[test]
fn verify_on_an_adapter() {
    verify("gpu");
}

#[test]
fn help_is_no_failure() {
    let folder = Folder::new();
    let run = folder.wgbn("--help");
    let commands = [
        "demo", "forward", "backward", "moments", "info", "verify", "bench",
    ];
    for command in commands {
        assert!(run.succeeded().contains(command), "{run:?}");
        let run = folder.wgbn(&format!("{command} --help"));
        assert!(
            run.succeeded().contains(&format!("wgbn {command}")),
            "{run:?}"
        );
    }
    for line in ["-h", "help", "help forward"] {
        assert!(
            folder.wgbn(line).succeeded().contains("Usage: wgbn"),
            "{line}"
        );
    }
    let run = folder.wgbn("forward --help");
    for option in [
        "--output",
        "--mode",
        "--axis",
        "--preset",
        "--eps",
        "--momentum",
        "--decay",
        "--running-var",
        "--non-finite",
        "--prefix",
        "--device",
        "--no-check",
        "--json",
    ] {
        assert!(run.succeeded().contains(option), "{option}: {run:?}");
    }
    let version = concat!("wgbn ", env!("CARGO_PKG_VERSION"), "\n");
    for line in ["--version", "-V"] {
        assert_eq!(folder.wgbn(line).succeeded(), version);
    }
}
