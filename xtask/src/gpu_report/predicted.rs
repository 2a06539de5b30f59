//! What was measured of each row, beside what the model expects and what PyTorch takes.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

/// Words of adapters' names, and what the model's table calls these. An M2 with more cores says so behind its name.
const KNOWN: [(&str, &str); 5] = [
    (" h100 ", "h100"),
    (" 7900 xtx ", "rx-7900-xtx"),
    (" apple m2 $", "m2"),
    (" iris xe ", "iris-xe"),
    (" llvmpipe ", "lavapipe"),
];

/// The options of `wgbn info` that name what the model knows of the device: itself, or its class.
pub fn machine(info: &str, device: &Value) -> Value {
    let name = device["name"].as_str().unwrap_or_default();
    let lower = name.to_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<_> = words
        .filter(|word| !["", "r", "tm"].contains(word))
        .collect();
    let words = format!(" {} $", words.join(" "));
    if let Some((_, known)) = KNOWN.iter().find(|(part, _)| words.contains(part)) {
        return json!(["--machine", known]);
    }
    let info: Value = serde_json::from_str(info).unwrap_or_default();
    let adapters = info["adapters"].as_array().into_iter().flatten();
    let mut mine = adapters.filter(|adapter| adapter["name"] == name);
    let kind = mine.next().map_or("", |a| a["kind"].as_str().unwrap_or(""));
    match kind {
        "integrated GPU" => json!(["--as", "integrated"]),
        _ => json!(["--as", "discrete"]),
    }
}

/// The machine of the model's table that these options stand for.
pub fn device(wgbn: &Path, machine: &Value) -> Value {
    let any = json!({ "shape": [2, 2], "layout": "nc", "element": "f32" });
    expected(wgbn, machine, &any)["machine"].clone()
}

/// A line for each row of the first benchmark: times in ms.
pub fn rows(wgbn: &Path, machine: &Value, [bench, tuned, pytorch]: [&Value; 3]) -> Value {
    let mut asked: Vec<(Value, Value)> = Vec::new();
    let rows = bench["rows"].as_array().into_iter().flatten();
    let rows = rows.filter(|row| row["engine"] == "wgpu-batchnorm");
    rows.map(|row| {
        // The operations of a tensor are asked for together.
        let tensor = json!([row["shape"], row["layout"], row["element"]]);
        if asked.last().is_none_or(|(last, _)| *last != tensor) {
            asked.push((tensor, expected(wgbn, machine, row)));
        }
        let expected = asked.last().map_or(&Value::Null, |(_, expected)| expected);
        let dispatches = expected["dispatches"].as_array();
        let predicted = dispatches.map(|all| {
            let mine = all.iter().filter(|d| d["operation"] == row["op"]);
            let micros = mine.filter_map(|d| d["predicted_us"].as_f64());
            micros.sum::<f64>() / 1e3
        });
        json!({
            "shape": row["shape"], "layout": row["layout"], "element": row["element"], "op": row["op"],
            "ms": row["median_ms"], "low_ms": row["low_ms"], "high_ms": row["high_ms"], "gb_per_s": row["gb_per_s"], "of_copy": row["of_copy"],
            "tuned_ms": of(tuned, row, true), "predicted_ms": predicted,
            "pytorch_ms": of(pytorch, row, false),
        })
    })
    .collect()
}

/// The plan of a row's tensor.
fn expected(wgbn: &Path, machine: &Value, row: &Value) -> Value {
    let lengths = row["shape"].as_array().into_iter().flatten();
    let mut shape: Vec<String> = lengths.map(Value::to_string).collect();
    let last = row["layout"] == "nhwc";
    if last {
        shape[1..].rotate_left(1);
    }
    let options = machine.as_array().into_iter().flatten();
    let output = Command::new(wgbn)
        .args(["info", "--json", "--shape", &shape.join(",")])
        .args(["--axis", if last { "-1" } else { "1" }])
        .args(["--element", row["element"].as_str().unwrap_or("f32")])
        .args(options.filter_map(Value::as_str))
        .output();
    let printed = output.map(|output| output.stdout).unwrap_or_default();
    serde_json::from_slice(&printed).unwrap_or_default()
}

/// The fastest time of the same row in another file, on a GPU: of ours, or of another library's.
fn of(file: &Value, row: &Value, ours: bool) -> Value {
    let devices = || file["devices"].as_array().into_iter().flatten();
    let on_gpu = |other: &&Value| {
        let mut mine = devices().filter(|d| d["name"] == other["device"]);
        ours || mine.any(|d| d["kind"] == "gpu")
    };
    let same = |other: &&Value| {
        let element = |row: &Value| row["element"].as_str().unwrap_or("f32").to_owned();
        let keys = ["shape", "layout", "op"].into_iter();
        element(other) == element(row) && keys.into_iter().all(|key| other[key] == row[key])
    };
    let rows = file["rows"].as_array().into_iter().flatten();
    let times = rows.filter(same).filter(on_gpu);
    let times = times.filter_map(|row| row["median_ms"].as_f64());
    times.reduce(f64::min).map_or(Value::Null, Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_known_by_its_name_or_by_its_kind() {
        let info = json!({ "adapters": [
            { "name": "Adreno", "kind": "integrated GPU" }, { "name": "Voodoo", "kind": "discrete GPU" },
        ] });
        let of = |name: &str| machine(&info.to_string(), &json!({ "name": name }));
        assert_eq!(of("NVIDIA H100 80GB HBM3"), json!(["--machine", "h100"]));
        assert_eq!(of("Apple M2"), json!(["--machine", "m2"]));
        assert_eq!(of("Apple M2 Max"), json!(["--as", "discrete"]));
        assert_eq!(of("Quadro M2000"), json!(["--as", "discrete"]));
        let iris = of("Intel(R) Iris(R) Xe Graphics (TGL GT2)");
        assert_eq!(iris, json!(["--machine", "iris-xe"]));
        assert_eq!(of("Adreno"), json!(["--as", "integrated"]));
        assert_eq!(of("Voodoo"), json!(["--as", "discrete"]));
    }

    #[test]
    fn a_row_is_found_in_other_files_where_it_is_the_same() {
        let row = json!({ "shape": [4, 8], "layout": "nc", "op": "train", "element": "f16" });
        let with = |median: f64, device: &str, more: (&str, &str)| {
            let mut row = row.clone();
            row["median_ms"] = median.into();
            row["device"] = device.into();
            row[more.0] = more.1.into();
            row
        };
        let file = json!({
            "devices": [{ "name": "a", "kind": "gpu" }, { "name": "b", "kind": "cpu" }],
            "rows": [
                with(3.0, "a", ("op", "train")), with(2.0, "a", ("op", "train")),
                with(1.0, "b", ("op", "train")), with(0.5, "a", ("op", "step")),
                with(0.25, "a", ("element", "f32")),
            ],
        });
        assert_eq!(of(&file, &row, true), 1.0);
        // Another library's file has rows of the CPU.
        assert_eq!(of(&file, &row, false), 2.0);
        // A row that does not say how tensors are stored is of f32.
        let mut unsaid = row.clone();
        unsaid["element"] = Value::Null;
        assert_eq!(of(&file, &unsaid, false), 0.25);
        assert_eq!(of(&Value::Null, &row, true), Value::Null);
    }
}
