//! What other frameworks computed, through the command line, against the truth in f64.

use safetensors::tensor::Dtype;
use serde_json::Value;

use crate::support::{Folder, golden_path};
use crate::tensors::Stored;
use crate::truth::{self, FORWARD_BOUND};
use testkit::golden::Golden;

/// Files of these operations.
pub fn goldens(ops: &[&str]) -> Vec<Golden> {
    let mut goldens = Golden::all();
    goldens.retain(|golden| ops.contains(&golden.text("op")));
    goldens
}

/// The options that a file says, all of them spelled out.
pub fn options(golden: &Golden) -> String {
    let text = |key| golden.text(key);
    let mode = text("op");
    let mut options = format!(
        "--mode {mode} --axis {} --eps {}",
        text("axis"),
        text("eps")
    );
    if mode == "train" {
        let (momentum, variance) = (text("momentum"), text("running_var"));
        options += &format!(" --momentum {momentum} --running-var {variance}");
    }
    options
}

fn run(folder: &Folder, golden: &Golden, command: &str, options: &str) -> (Value, Stored) {
    std::fs::copy(golden_path(&golden.name), folder.path("in.safetensors")).unwrap();
    let value = folder.json(&format!(
        "{command} in.safetensors -o out.safetensors {options}"
    ));
    (value, folder.load("out.safetensors"))
}

/// What was printed is about this run, and every check in it passed.
fn assert_report(value: &Value, golden: &Golden, operation: &str, device: &str) {
    let name = &golden.name;
    assert_eq!(value["operation"], operation, "{name}");
    assert_eq!(
        value["shape"],
        serde_json::json!(golden.shape("x")),
        "{name}"
    );
    assert_eq!(value["device"] == "CPU path", device == "cpu", "{name}");
    assert!(value["milliseconds"].as_f64().unwrap() >= 0.0, "{name}");
    let findings = value["findings"].as_array().unwrap();
    assert!(!findings.is_empty(), "{name}");
    for finding in findings {
        assert_eq!(finding["passed"], true, "{name}: {finding}");
        let (error, bound) = (&finding["error"], &finding["bound"]);
        assert!(error.as_f64() <= bound.as_f64(), "{name}: {finding}");
    }
}

/// Every tensor against the truth that the file holds.
fn assert_near_truth(golden: &Golden, stored: &Stored) {
    let truth = golden.results("truth").into_iter().collect();
    let train = golden.text("op") == "train";
    truth::assert_near(&golden.case(), train, &truth, stored);
}

fn forward(device: &str) {
    let folder = Folder::new();
    for golden in goldens(&["train", "eval"]) {
        let name = &golden.name;
        let options = format!("{} --device {device}", options(&golden));
        let (value, mut stored) = run(&folder, &golden, "forward", &options);
        assert_report(&value, &golden, "forward", device);
        assert_eq!(value["mode"], golden.text("op"), "{name}");
        let (shape, channels) = (golden.shape("x"), [golden.case().view.channels()]);
        assert_eq!(value["channels"], channels[0], "{name}");
        let mut expected = vec![("y", Dtype::F32, &shape[..])];
        if golden.text("op") == "train" {
            for name in [
                "batch_mean",
                "batch_var",
                "inv_std",
                "running_mean",
                "running_var",
            ] {
                expected.push((name, Dtype::F32, &channels));
            }
            expected.push(("num_batches_tracked", Dtype::I64, &[]));
            let given = |name: &&str| golden.file().tensor(name).is_ok();
            let parameters = ["weight", "bias"].into_iter().filter(given);
            expected.extend(parameters.map(|name| (name, Dtype::F32, &channels[..])));
        }
        stored.assert_holds(&expected, name);
        if golden.text("op") == "train" {
            let before = golden.wide("num_batches_tracked").map_or(0.0, |v| v[0]);
            assert_eq!(stored.wide("num_batches_tracked"), [before + 1.0], "{name}");
            stored.0.remove("num_batches_tracked");
        }
        assert_near_truth(&golden, &stored);
    }
}

fn backward(device: &str) {
    let folder = Folder::new();
    let mut goldens = goldens(&["train", "eval"]);
    // ONNX gives no gradients.
    goldens.retain(|golden| golden.file().tensor("dy").is_ok());
    assert!(goldens.len() > 20, "{}", goldens.len());
    for golden in goldens {
        let options = format!("{} --device {device}", options(&golden));
        let (value, stored) = run(&folder, &golden, "backward", &options);
        assert_report(&value, &golden, "backward", device);
        let (shape, channels) = (golden.shape("x"), [golden.case().view.channels()]);
        let expected = [
            ("dx", Dtype::F32, &shape[..]),
            ("dweight", Dtype::F32, &channels),
            ("dbias", Dtype::F32, &channels),
        ];
        stored.assert_holds(&expected, &golden.name);
        assert_near_truth(&golden, &stored);
    }
}

fn moments(device: &str) {
    let folder = Folder::new();
    let goldens = goldens(&["moments"]);
    assert!(goldens.len() >= 8, "{}", goldens.len());
    for golden in goldens {
        let mut options = format!("--axes {} --device {device}", golden.text("axes"));
        if golden.text("keep_dims").eq_ignore_ascii_case("true") {
            options += " --keep-dims";
        }
        let (value, stored) = run(&folder, &golden, "moments", &options);
        assert_report(&value, &golden, "moments", device);
        let shape = golden.shape("truth.mean");
        assert_eq!(value["statistics_shape"], serde_json::json!(shape));
        let expected = [
            ("mean", Dtype::F32, &shape[..]),
            ("variance", Dtype::F32, &shape),
        ];
        stored.assert_holds(&expected, &golden.name);
        let largest = golden.wide("x").unwrap();
        let largest = largest
            .into_iter()
            .fold(0.0, |max: f64, x| max.max(x.abs()));
        for (name, expected) in golden.results("truth") {
            for (got, expected) in stored.wide(&name).into_iter().zip(expected) {
                let scale = if name == "mean" { largest } else { expected };
                let error = (got - expected).abs() / scale;
                assert!(error <= FORWARD_BOUND, "{}: {name} {error:e}", golden.name);
            }
        }
    }
}

#[test]
fn forward_on_the_cpu_path() {
    forward("cpu");
}

#[test]
fn forward_on_an_adapter() {
    forward("gpu");
}

#[test]
fn backward_on_the_cpu_path() {
    backward("cpu");
}

#[test]
fn backward_on_an_adapter() {
    backward("gpu");
}

#[test]
fn moments_on_the_cpu_path() {
    moments("cpu");
}

#[test]
fn moments_on_an_adapter() {
    moments("gpu");
}

/// A preset is its framework's numbers spelled out, to the last bit.
#[test]
fn presets_are_the_frameworks_numbers() {
    let folder = Folder::new();
    let mut seen = [0; 3];
    for golden in goldens(&["train"]) {
        let Some(preset) = golden.find("preset") else {
            continue;
        };
        let known = ["pytorch", "keras", "onnx"];
        seen[known.iter().position(|k| *k == preset).unwrap()] += 1;
        let axis = golden.text("axis");
        let spelled = options(&golden) + " --device cpu";
        let (_, expected) = run(&folder, &golden, "forward", &spelled);
        let by_preset = format!("--preset {preset} --axis {axis} --device cpu");
        let (_, got) = run(&folder, &golden, "forward", &by_preset);
        assert_eq!(got, expected, "{}", golden.name);
        if preset == "pytorch" {
            let by_default = format!("--axis {axis} --device cpu");
            let (_, got) = run(&folder, &golden, "forward", &by_default);
            assert_eq!(got, expected, "{}", golden.name);
        }
    }
    assert!(seen.iter().all(|&n| n > 0), "{seen:?}");
}
