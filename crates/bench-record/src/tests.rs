use serde_json::{Value, json};

use super::*;

/// A right file of each kind.
fn bench() -> Value {
    json!({
        "schema": SCHEMA, "program": "wgpu-batchnorm", "version": "0.1.0", "commit": null,
        "date": "2026-11-28T08:40:00Z",
        "host": { "threads": 2, "cpu": "some CPU" },
        "devices": [
            { "name": "an adapter", "kind": "gpu", "backend": "vulkan", "driver": "1.0" },
            { "name": "CPU path", "kind": "cpu", "backend": "threads", "driver": "" },
        ],
        "bandwidth": [{ "device": "an adapter", "what": "buffer copy", "gb_per_s": 18.5, "bytes": 1024 }],
        "rows": [{
            "engine": "wgpu-batchnorm", "suite": "small", "device": "an adapter", "op": "train",
            "shape": [2, 3, 4], "layout": "nchw", "elements": 24, "ideal_bytes": 288,
            "low_ms": 1.0, "median_ms": 1.5, "high_ms": 2.0, "runs": 7, "clock": "wall",
            "gb_per_s": 0.2, "of_copy": null, "checked": "every value against f64",
        }],
        "host_rows": [{
            "engine": "wgpu-batchnorm-cpu", "device": "CPU path", "what": "plan",
            "low_ms": 1.0, "median_ms": 1.0, "high_ms": 1.0, "runs": 3,
        }],
        "skipped": ["nothing"],
    })
}

fn machine_code() -> Value {
    json!({
        "schema": SCHEMA, "program": "machine-code", "commit": "0123abc", "date": "2026-11-28",
        "families": [{
            "family": "ampere", "device": "NVK", "driver": "Mesa 25.0.7",
            "rows": [{
                "variant": "moments", "element": "f32", "activation": "none", "loop": "reduce",
                "figures": { "registers": 71, "vector": 14.75, "spills": null },
            }],
        }],
    })
}

/// The problems of a file in which `place`, a JSON pointer, holds `value`.
fn spoilt(mut file: Value, place: &str, value: Value) -> Vec<String> {
    *file.pointer_mut(place).expect("the field is there") = value;
    let problems = check(&file).expect_err(place).0;
    problems.iter().map(Problem::to_string).collect()
}

#[test]
fn right_files_are_read() {
    let text = |value: Value| value.to_string().into_bytes();
    assert_eq!(read(&text(bench())).unwrap(), (Kind::Bench, bench()));
    let (kind, value) = read(&text(machine_code())).unwrap();
    assert_eq!((kind, value), (Kind::MachineCode, machine_code()));
}

#[test]
fn a_wrong_field_is_named_with_what_it_holds() {
    for (place, value, expected) in [
        (
            "/schema",
            json!(2),
            "schema: holds 2, expected the schema number 1",
        ),
        (
            "/program",
            json!("burm"),
            "program: holds \"burm\", expected \"wgpu-batchnorm\", ",
        ),
        (
            "/commit",
            json!(7),
            "commit: holds 7, expected a text or null",
        ),
        (
            "/date",
            json!("yesterday"),
            "date: holds \"yesterday\", expected a date such as",
        ),
        (
            "/host/threads",
            json!(0),
            "host.threads: holds 0, expected a whole number of 1",
        ),
        (
            "/devices",
            json!([]),
            "devices: holds [], expected a list that is not empty",
        ),
        (
            "/devices/0/kind",
            json!("card"),
            "devices[0].kind: holds \"card\", expected one of gpu",
        ),
        (
            "/bandwidth/0/device",
            json!("other"),
            "bandwidth[0].device: holds \"other\", expected",
        ),
        (
            "/bandwidth/0/gb_per_s",
            json!(-1),
            "bandwidth[0].gb_per_s: holds -1, expected a number above 0",
        ),
        (
            "/rows/0/engine",
            json!("torch"),
            "rows[0].engine: holds \"torch\", expected one of wgpu-",
        ),
        (
            "/rows/0/engine",
            json!("wgpu-batchnorm-cpu"),
            "an engine that runs on this device",
        ),
        (
            "/rows/0/op",
            json!("multiply"),
            "rows[0].op: holds \"multiply\", expected one of train",
        ),
        (
            "/rows/0/shape",
            json!([2, 0, 4]),
            "rows[0].shape[1]: holds 0, expected",
        ),
        (
            "/rows/0/elements",
            json!(23),
            "rows[0].elements: holds 23, expected the product of the shape, 24",
        ),
        (
            "/rows/0/median_ms",
            json!("fast"),
            "rows[0].median_ms: holds \"fast\", expected a number",
        ),
        (
            "/rows/0/median_ms",
            json!(3),
            "rows[0].median_ms: holds 3, expected a time from 1 to 2",
        ),
        (
            "/rows/0/of_copy",
            json!("all"),
            "rows[0].of_copy: holds \"all\", expected a number",
        ),
        (
            "/rows/0/clock",
            json!("sundial"),
            "rows[0].clock: holds \"sundial\", expected one of wall",
        ),
        (
            "/rows/0/checked",
            json!(null),
            "rows[0].checked: holds null, expected a text",
        ),
        (
            "/host_rows/0/runs",
            json!(0.5),
            "host_rows[0].runs: holds 0.5, expected a whole number",
        ),
        (
            "/skipped/0",
            json!(1),
            "skipped[0]: holds 1, expected a text",
        ),
    ] {
        let problems = spoilt(bench(), place, value);
        assert!(
            problems.iter().any(|problem| problem.contains(expected)),
            "{place}: {problems:?}"
        );
    }
    for (place, value, expected) in [
        (
            "/families",
            json!([]),
            "families: holds [], expected a list that is not empty",
        ),
        (
            "/families/0/driver",
            json!(null),
            "families[0].driver: holds null, expected a text",
        ),
        (
            "/families/0/rows/0/loop",
            json!(1),
            "families[0].rows[0].loop: holds 1, expected a text",
        ),
        (
            "/families/0/rows/0/figures/registers",
            json!("many"),
            "families[0].rows[0].figures.registers: holds \"many\", expected a number of 0 or more",
        ),
        (
            "/families/0/rows/0/figures",
            json!({}),
            "expected figures by their names",
        ),
    ] {
        let problems = spoilt(machine_code(), place, value);
        assert!(
            problems.iter().any(|problem| problem.contains(expected)),
            "{place}: {problems:?}"
        );
    }
}

#[test]
fn a_field_that_is_missing_is_named() {
    for name in ["version", "host", "devices", "bandwidth", "rows", "skipped"] {
        let mut file = bench();
        file.as_object_mut().unwrap().remove(name);
        let refused = check(&file).expect_err(name).to_string();
        assert!(refused.contains(name), "{refused}");
    }
    // Peers measure nothing on the host.
    let mut peer = bench();
    peer.as_object_mut().unwrap().remove("host_rows");
    assert_eq!(check(&peer), Ok(Kind::Bench));
    peer["rows"] = json!([]);
    let refused = check(&peer).expect_err("a file without rows").to_string();
    assert!(
        refused.contains("expected a row, here or in host_rows"),
        "{refused}"
    );
}

#[test]
fn what_is_no_json_is_refused_with_its_line() {
    let refused = read(b"{\n\"schema\": 1,\n").expect_err("half a file");
    assert!(refused.0[0].place.starts_with("line "), "{refused}");
    let refused = read(b"[1, 2]").expect_err("no object").to_string();
    assert!(refused.starts_with("schema: holds null"), "{refused}");
}

#[test]
fn a_long_list_of_problems_is_cut() {
    let mut file = bench();
    let row = json!({});
    file["rows"] = json!([row, row]);
    let refused = check(&file).expect_err("empty rows");
    assert!(refused.0.len() > 8);
    assert!(refused.to_string().ends_with(" more"), "{refused}");
}
