//! `tune`, and what commands make of the file that it writes.

use serde_json::{Value, json};
use wgpu_batchnorm::internals::plan::Tuning;

use crate::support::{Folder, record};
use crate::tensors::small;

/// A folder with a tensor, and a file that was tuned in as short a time as there can be.
fn tuned() -> (Folder, Value, String) {
    let folder = Folder::new();
    folder.save("in.safetensors", &small());
    let run = folder.wgbn("tune --seconds 1 --from discrete -o tuned.json");
    let stdout = run.succeeded().to_owned();
    let value = serde_json::from_slice(&folder.bytes("tuned.json")).unwrap();
    (folder, value, stdout)
}

#[test]
fn a_tuned_file_is_taken_everywhere_and_refused_where_it_must_be() {
    let (folder, value, stdout) = tuned();
    assert_file(&value, &stdout);
    let made = value["made"].as_str().unwrap();
    assert_taken(&folder, made);
    assert_refused(&folder, &value);
}

fn assert_file(value: &Value, stdout: &str) {
    assert_eq!(value["schema"], 1);
    let command = value["command"].as_str().unwrap();
    assert_eq!(
        command,
        "wgbn tune --seconds 1 --from discrete -o tuned.json"
    );
    for name in ["copy", "sum"] {
        let rates = value["figures"][name].as_array().unwrap();
        assert!(rates.len() > 1, "{rates:?}");
        let bytes: Vec<_> = rates.iter().map(|r| r["bytes"].as_u64().unwrap()).collect();
        assert!(bytes.is_sorted(), "{bytes:?}");
        assert!(rates.iter().all(|r| r["gb_per_s"].as_f64().unwrap() > 0.0));
    }
    let gains = value["gains"].as_array().unwrap();
    assert_eq!(gains.len(), 24);
    for gain in gains {
        let [before, after] = ["before_ms", "after_ms"].map(|key| gain[key].as_f64().unwrap());
        assert!(before > 0.0 && after > 0.0, "{gain}");
    }
    // From a discrete GPU's sizes, a software adapter finds others that are faster by a multiple.
    if value["adapter"]["name"]
        .as_str()
        .unwrap()
        .contains("llvmpipe")
    {
        assert!(
            stdout.contains("the sizes of software adapters"),
            "{stdout}"
        );
        let ratios = gains.iter().map(|gain| {
            let [before, after] = ["before_ms", "after_ms"].map(|key| gain[key].as_f64().unwrap());
            (after / before).ln()
        });
        let mean = (ratios.sum::<f64>() / gains.len() as f64).exp();
        assert!(mean < 0.7, "{mean}: {stdout}");
        // Then each plan, and with it the speed on each shape, is that of the adapter's own class.
        let own = serde_json::to_value(Tuning::CPU_ADAPTER).unwrap();
        assert_eq!(value["sizes"], own, "{stdout}");
    }
    for words in [
        "copy GB/s",
        "f16",
        "tried",
        "before ms",
        "sizes: ",
        "wrote tuned.json",
    ] {
        assert!(stdout.contains(words), "no {words:?} in {stdout}");
    }
}

fn assert_taken(folder: &Folder, made: &str) {
    for line in [
        "forward in.safetensors -o out.safetensors",
        "backward in.safetensors -o out.safetensors",
        "moments in.safetensors -o out.safetensors --axes 0,2",
    ] {
        let value = folder.json(&format!("{line} --device gpu --tuning tuned.json"));
        let device = value["device"].as_str().unwrap();
        assert!(device.contains(&format!("tuned {made}")), "{device}");
        let value = folder.json(&format!("{line} --device gpu"));
        assert!(!value["device"].as_str().unwrap().contains("tuned"));
    }
    for (line, words) in [
        ("demo --device gpu", format!("tuned {made}")),
        (
            "info --shape 8,64,7,7",
            format!("sizes of a tuning file made on {made}"),
        ),
        (
            "bench --quick --seconds 0.1 --suite reductions --ops moments --device gpu",
            format!("runs with the sizes of a tuning file made on {made}"),
        ),
        ("verify --device gpu --case 1", format!("tuned {made}")),
    ] {
        let run = folder.wgbn(&format!("{line} --tuning tuned.json"));
        let stdout = run.succeeded();
        assert!(stdout.contains(&words), "{stdout}");
    }
    let run = folder.wgbn("info --json --tuning tuned.json");
    let value: Value = serde_json::from_str(run.succeeded()).unwrap();
    let adapter = &value["adapters"][0];
    assert_eq!(adapter["sizes"], format!("of a tuning file made on {made}"));
    let name = adapter["name"].as_str().unwrap();
    record(&format!(
        "{name} ({})",
        adapter["backend"].as_str().unwrap()
    ));
}

fn assert_refused(folder: &Folder, value: &Value) {
    let changed = |change: fn(&mut Value)| {
        let mut changed = value.clone();
        change(&mut changed);
        changed.to_string()
    };
    let lines = [
        "forward in.safetensors -o new.safetensors --device gpu",
        "backward in.safetensors -o new.safetensors --device gpu",
        "moments in.safetensors -o new.safetensors --axes 0,2 --device gpu",
        "demo --device gpu",
        "info",
        "bench --quick --device gpu",
        "verify --quick --device gpu",
    ];
    for (text, needle) in [
        (
            changed(|file| file["adapter"]["name"] = json!("another")),
            "is of the adapter \"another",
        ),
        (
            changed(|file| file["adapter"]["driver_info"] = json!("older")),
            "is of the driver",
        ),
        (
            changed(|file| file["schema"] = json!(7)),
            "schema 7, expected 1",
        ),
        (
            changed(|file| file["sizes"]["fill"] = json!(0)),
            "fill is 0",
        ),
        (
            changed(|file| file["sizes"] = json!({})),
            "missing field `planar_workgroup`",
        ),
        ("{\"schema\": 1".to_owned(), "damaged"),
        (" ".repeat((1 << 20) + 1), "longer than any tuning file"),
    ] {
        folder.write("bad.json", text.as_bytes());
        for line in lines {
            folder.refused(&format!("{line} --tuning bad.json"), 2, needle);
        }
    }
    // What a file says is quoted, and not at any length.
    let mut long = value.clone();
    long["adapter"]["name"] = json!("x".repeat(900_000));
    folder.write("bad.json", long.to_string().as_bytes());
    let run = folder.wgbn("info --tuning bad.json");
    run.failed(2, "is of the adapter \"xxx");
    assert!(run.stderr.len() < 1000, "{}", run.stderr.len());
    folder.write("bad.json", b"\xff\xfe");
    folder.refused("info --tuning bad.json", 2, "utf-8");
    folder.refused("info --tuning none.json", 2, "none.json: ");
    // The CPU path has no sizes.
    for line in [
        "forward in.safetensors -o new.safetensors --device cpu",
        "demo --device cpu",
        "bench --quick --device cpu",
    ] {
        let line = format!("{line} --tuning tuned.json");
        folder.refused(&line, 2, "a tuning file is for an adapter");
    }
}

#[test]
fn what_cannot_be_tuned() {
    let folder = Folder::new();
    folder.refused("tune --device cpu -o t.json", 2, "expected an adapter");
    folder.refused("tune --device none-such -o t.json", 2, "none-such");
    folder.refused("tune -o none/t.json", 2, "no such output folder");
    folder.refused("tune", 2, "--output");
    if cfg!(target_os = "linux") {
        // It is seen before anything is measured, though there is such a folder.
        let started = std::time::Instant::now();
        folder.refused(
            "tune --seconds 1000 -o /proc/t.json",
            3,
            "cannot write /proc/t.json",
        );
        assert!(started.elapsed().as_secs() < 60);
    }
    folder.refused("info --tuning t.json --as discrete --shape 2,3", 2, "--as");
    let folder = Folder::without_adapter();
    folder.refused("tune -o t.json", 3, "no GPU adapter was found");
}
