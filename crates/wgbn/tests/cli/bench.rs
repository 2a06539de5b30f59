//! `bench`: what it measures, what it writes, what it refuses.

use serde_json::Value;

use crate::support::{Folder, record};

/// Runs a benchmark that writes `out.json` and `out.html`, and gives both.
fn bench(folder: &Folder, line: &str) -> (Value, String, String) {
    let run = folder.wgbn(&format!(
        "bench --quick {line} --json out.json --html out.html"
    ));
    let stdout = run.succeeded().to_owned();
    let (kind, value) = bench_record::read(&folder.bytes("out.json")).unwrap();
    assert_eq!(kind, bench_record::Kind::Bench);
    (
        value,
        String::from_utf8(folder.bytes("out.html")).unwrap(),
        stdout,
    )
}

/// Rows of `value` have every field, and figures that fit each other.
fn assert_rows(value: &Value, ops: &[&str], devices: usize) {
    let rows = value["rows"].as_array().unwrap();
    assert!(!rows.is_empty());
    for op in ops {
        assert!(rows.iter().any(|row| row["op"] == *op), "no {op}");
    }
    let number = |row: &Value, key: &str| {
        let number = row[key].as_f64();
        number.unwrap_or_else(|| panic!("no {key} in {row}"))
    };
    for row in rows {
        let shape = row["shape"].as_array().unwrap();
        let elements: f64 = shape.iter().map(|n| n.as_f64().unwrap()).product();
        assert_eq!(number(row, "elements"), elements);
        let tensors = number(row, "ideal_bytes") / (4.0 * elements);
        let expected = match row["op"].as_str().unwrap() {
            "train" | "frozen" => 3.0,
            "inference" => 2.0,
            "backward" => 5.0,
            "moments" | "sum" => 1.0,
            op => panic!("{op}"),
        };
        assert_eq!(tensors, expected, "{row}");
        let [low, median, high] = ["low_ms", "median_ms", "high_ms"].map(|key| number(row, key));
        assert!(0.0 < low && low <= median && median <= high, "{row}");
        let rate = number(row, "ideal_bytes") / (median * 1e6);
        assert!((number(row, "gb_per_s") / rate - 1.0).abs() < 1e-3, "{row}");
        assert!(number(row, "of_copy") > 0.0 && number(row, "of_floor") > 0.0);
        assert!(number(row, "runs") >= 3.0, "{row}");
        assert!(["wall", "timestamps"].contains(&row["clock"].as_str().unwrap()));
        assert!(["nchw", "nhwc", "nc"].contains(&row["layout"].as_str().unwrap()));
        assert!(row["checked"].as_str().unwrap().contains("f64"), "{row}");
    }
    assert_eq!(value["devices"].as_array().unwrap().len(), devices);
    for row in value["bandwidth"].as_array().unwrap() {
        assert!(number(row, "gb_per_s") > 0.0 && number(row, "bytes") > 0.0);
    }
}

/// Whatever a browser would fetch is named by one of these.
fn assert_self_contained(html: &str) {
    for word in [
        "http:", "https:", "src=", "href=", "@import", "url(", "<script", "<link",
    ] {
        assert!(!html.contains(word), "{word} in the page");
    }
    assert!(html.starts_with("<!doctype html>"), "{html}");
    assert!(html.trim_end().ends_with("</html>"), "{html}");
}

#[test]
fn an_adapter_and_the_cpu_side_by_side() {
    let folder = Folder::new();
    let (value, html, stdout) = bench(&folder, "--suite reductions,host --seconds 0.5");
    assert_rows(&value, &["sum", "moments"], 2);
    let devices = value["devices"].as_array().unwrap();
    let name = devices[0]["name"].as_str().unwrap();
    let backend = devices[0]["backend"].as_str().unwrap();
    record(&format!("{name} ({backend})"));
    let rows = value["rows"].as_array().unwrap();
    for device in devices {
        let mine = || rows.iter().filter(|row| row["device"] == device["name"]);
        assert_eq!(mine().count() * 2, rows.len(), "{device}");
        let engine = match device["kind"] == "cpu" {
            true => "wgpu-batchnorm-cpu",
            false => "wgpu-batchnorm",
        };
        assert!(mine().all(|row| row["engine"] == engine), "{device}");
        assert!(
            stdout.contains(device["name"].as_str().unwrap()),
            "{stdout}"
        );
    }
    let kinds: Vec<_> = devices
        .iter()
        .map(|d| d["kind"].as_str().unwrap())
        .collect();
    assert!(["gpu", "software"].contains(&kinds[0]) && kinds[1] == "cpu");
    let whats = [
        "buffer copy",
        "copy kernel",
        "sum kernel",
        "thread copy",
        "thread sum",
    ];
    let bandwidth = value["bandwidth"].as_array().unwrap();
    for (what, when) in whats
        .iter()
        .flat_map(|what| [(what, "start"), (what, "end")])
    {
        let there = |row: &&Value| row["what"] == **what && row["when"] == when;
        assert_eq!(bandwidth.iter().filter(there).count(), 1, "{what}, {when}");
    }
    let host = value["host_rows"].as_array().unwrap();
    assert!(host.iter().any(|row| row["what"] == "plan"));
    assert!(host.iter().all(|row| row["median_ms"].as_f64() > Some(0.0)));
    assert_self_contained(&html);
    for expected in [name, "Moments", "<svg", "On the host"] {
        assert!(html.contains(expected), "no {expected} in the page");
    }
}

#[test]
fn the_cpu_path_needs_no_adapter() {
    let folder = Folder::without_adapter();
    let line = "--suite small,host --seconds 0.1 --ops inference,frozen --device cpu";
    let (value, html, stdout) = bench(&folder, line);
    assert_rows(&value, &["inference", "frozen"], 1);
    assert_eq!(value["devices"][0]["name"], "CPU path");
    assert_eq!(value["program"], "wgpu-batchnorm");
    assert_eq!(value["version"], env!("CARGO_PKG_VERSION"));
    assert!(value["host"]["threads"].as_u64() > Some(0));
    assert!(value["command"].as_str().unwrap().contains(line));
    assert_self_contained(&html);
    assert!(
        value["skipped"].to_string().contains("needs an adapter"),
        "{value}"
    );
    assert!(!stdout.contains("no GPU adapter"), "{stdout}");
    assert_eq!(folder.names(), ["no_driver.json", "out.html", "out.json"]);
}

/// The CPU path computes in f32 and has no rows of halves; what moves is half as many bytes.
#[test]
fn halves_are_measured_on_adapters() {
    let folder = Folder::new();
    let line = "--suite small --element f32,f16,bf16 --seconds 0.1 --ops train,backward";
    let (value, html, stdout) = bench(&folder, line);
    let rows = value["rows"].as_array().unwrap();
    let of = |element: &str, kind: &str| {
        let named = |row: &&Value| {
            let devices = value["devices"].as_array().unwrap().iter();
            let mut kinds = devices.filter(|d| d["name"] == row["device"]);
            kinds.any(|d| d["kind"] == "cpu") == (kind == "cpu")
        };
        let rows = rows.iter().filter(|row| row["element"] == element);
        rows.filter(named).cloned().collect::<Vec<_>>()
    };
    for (element, bytes) in [("f32", 4), ("f16", 2), ("bf16", 2)] {
        let on_adapter = of(element, "adapter");
        assert_eq!(on_adapter.len(), 2, "{element}");
        for row in &on_adapter {
            let moves = if row["op"] == "train" { 3 } else { 5 };
            let elements = row["elements"].as_u64().unwrap();
            assert_eq!(row["ideal_bytes"], moves * bytes * elements, "{row}");
            assert_eq!(row["checked"], "every value against f64");
        }
        assert_eq!(of(element, "cpu").len(), if bytes == 4 { 2 } else { 0 });
    }
    assert!(html.contains("nc bf16") && stdout.contains("nc f16"));
}

#[test]
fn timestamps_are_used_where_they_are_asked_for() {
    let folder = Folder::new();
    let line = "--suite reductions --ops sum --seconds 0.1 --device gpu --clock timestamps";
    let (value, ..) = bench(&folder, line);
    assert_rows(&value, &["sum"], 1);
    let adapters: Value = serde_json::from_str(folder.wgbn("info --json").succeeded()).unwrap();
    let name = &value["devices"][0]["name"];
    let mut adapters = adapters["adapters"].as_array().unwrap().iter();
    if adapters.any(|a| a["name"] == *name && a["timestamps"] == true) {
        let mut rows = value["rows"].as_array().unwrap().iter();
        assert!(rows.any(|row| row["clock"] == "timestamps"), "{value}");
    }
}

#[test]
fn a_benchmark_that_cannot_be_is_refused_at_once() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("folder")).unwrap();
    for (options, needle) in [
        ("--suite big", "'big'"),
        ("--suite small,", "a value is required for '--suite"),
        ("--ops train,multiply", "'multiply'"),
        ("--seconds -1", "'-1'"),
        ("--seconds nan", "'nan'"),
        ("--clock sundial", "'sundial'"),
        (
            "--json nowhere/out.json",
            "nowhere/out.json: there is no such output folder",
        ),
        (
            "--html nowhere/out.html",
            "nowhere/out.html: there is no such output folder",
        ),
        ("--json folder", "folder: the output is a folder"),
        (
            "--json out --html out",
            "--json and --html name the same file",
        ),
        ("--suite reductions --ops train", "none of these operations"),
        ("--element f8", "'f8'"),
        (
            "--element f16 --suite reductions",
            "of f32 alone, not of f16",
        ),
        (
            "--element bf16 --device cpu",
            "--element bf16 needs an adapter",
        ),
        ("--device Voodoo", "\"Voodoo\""),
        ("--device=", "--device is empty"),
    ] {
        folder.refused(&format!("bench {options}"), 2, needle);
    }
    let folder = Folder::without_adapter();
    folder.refused("bench --device gpu", 3, "no GPU adapter was found");
}
