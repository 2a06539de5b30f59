//! Each option does what it says.

use serde_json::json;

use crate::support::{DEVICES, Folder};
use crate::tensors::{LEN, SHAPE, Stored, Tensors, only_x, small, x};

/// Values per channel of the small tensors.
const M: f64 = (LEN / SHAPE[1]) as f64;

fn forward(input: &Tensors, options: &str) -> Stored {
    let folder = Folder::new();
    folder.save("in.safetensors", input);
    folder.json(&format!(
        "forward in.safetensors -o out.safetensors {options}"
    ));
    folder.load("out.safetensors")
}

fn near(got: &[f64], expected: impl IntoIterator<Item = f64>, what: &str) {
    let expected: Vec<_> = expected.into_iter().collect();
    assert_eq!(got.len(), expected.len(), "{what}");
    for (got, expected) in got.iter().zip(&expected) {
        let error = (got - expected).abs();
        assert!(
            error <= 1e-6 * expected.abs().max(1.0),
            "{what}: {got}, not {expected}"
        );
    }
}

/// What running statistics become with this factor.
fn moved(old: [f64; 3], batch: &[f64], factor: f64) -> Vec<f64> {
    let pairs = old.iter().zip(batch);
    pairs
        .map(|(o, b)| (1.0 - factor) * o + factor * b)
        .collect()
}

const OLD_MEAN: [f64; 3] = [0.5, 1.5, 2.5];
const OLD_VAR: [f64; 3] = [0.75, 1.25, 0.5];

#[test]
fn statistics_are_those_of_the_data() {
    let out = forward(&small(), "--device cpu");
    for c in 0..3 {
        let x: Vec<f64> = (0..LEN)
            .filter(|i| i / 2 % 3 == c)
            .map(|i| x()[i].into())
            .collect();
        let mean = x.iter().sum::<f64>() / M;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / M;
        near(&out.wide("batch_mean")[c..=c], [mean], "mean");
        near(&out.wide("batch_var")[c..=c], [variance], "variance");
    }
}

#[test]
fn an_axis_counts_from_either_end() {
    let (shape, c) = ([2, 3, 4], [4]);
    let input = Tensors::default()
        .f32("x", &shape, &x())
        .f32("weight", &c, &[1.0, 2.0, 3.0, 4.0]);
    for device in DEVICES {
        let device = format!("--device {device}");
        let last = forward(&input, &format!("--axis 2 {device}"));
        assert_eq!(last.tensor("batch_mean").shape, c);
        for axis in ["--axis -1", "--axis=-1"] {
            assert_eq!(forward(&input, &format!("{axis} {device}")), last, "{axis}");
        }
        let input = input.clone().without("weight");
        let first = forward(&input, &format!("--axis 0 {device}"));
        assert_eq!(first.tensor("batch_mean").shape, [2]);
        assert_eq!(forward(&input, &format!("--axis -3 {device}")), first);
        let default = forward(&input, &device);
        assert_eq!(default.tensor("batch_mean").shape, [3]);
        assert_eq!(forward(&input, &format!("--axis 1 {device}")), default);
    }
}

/// The axis is the command's own: 1, whatever the preset's framework does.
#[test]
fn a_preset_leaves_the_axis_alone() {
    for preset in ["pytorch", "keras", "onnx"] {
        let out = forward(&small(), &format!("--preset {preset} --device cpu"));
        assert_eq!(out.tensor("batch_mean").shape, [3], "{preset}");
    }
}

#[test]
fn eps_is_added_to_the_variance() {
    for (options, eps) in [
        ("", 1e-5),
        ("--preset keras", 1e-3),
        ("--eps 0.25", 0.25),
        ("--preset keras --eps=1e-4", 1e-4),
    ] {
        let out = forward(&small(), &format!("{options} --device cpu"));
        let variance = out.wide("batch_var").into_iter();
        near(
            &out.wide("inv_std"),
            variance.map(|v| 1.0 / (v + eps).sqrt()),
            options,
        );
    }
    // Inference does without.
    let out = forward(&small(), "--mode eval --eps 0 --device cpu");
    let (x, w, b) = (f64::from(x()[0]), 1.5, 0.25);
    near(
        &out.wide("y")[..1],
        [(x - 0.5) / 0.75f64.sqrt() * w + b],
        "y",
    );
}

#[test]
fn momentum_moves_running_statistics() {
    for device in DEVICES {
        for (options, factor) in [
            ("", 0.1),
            ("--momentum 0.35", 0.35),
            ("--momentum 1", 1.0),
            ("--momentum 0", 0.0),
            ("--decay 0.9", 0.1),
            ("--decay 0.25", 0.75),
            ("--decay=1", 0.0),
            ("--preset keras --running-var unbiased", 0.01),
            ("--preset keras --running-var unbiased --momentum 0.5", 0.5),
            // Six batches came before.
            ("--momentum cumulative", 1.0 / 7.0),
        ] {
            let out = forward(&small(), &format!("{options} --device {device}"));
            let mean = moved(OLD_MEAN, &out.wide("batch_mean"), factor);
            near(&out.wide("running_mean"), mean, options);
            let unbiased: Vec<_> = out
                .wide("batch_var")
                .iter()
                .map(|v| v * M / (M - 1.0))
                .collect();
            let variance = moved(OLD_VAR, &unbiased, factor);
            near(&out.wide("running_var"), variance, options);
            assert_eq!(out.wide("num_batches_tracked"), [7.0]);
        }
    }
    // The decay is the momentum of the other sense to the last bit.
    for (decay, momentum) in [("0.9", "0.1"), ("0.99", "0.01"), ("0.75", "0.25")] {
        let decay = forward(&small(), &format!("--decay {decay} --device cpu"));
        let momentum = forward(&small(), &format!("--momentum {momentum} --device cpu"));
        assert_eq!(decay, momentum);
    }
}

#[test]
fn the_running_variance_is_biased_or_not() {
    for (options, unbiased) in [
        ("", true),
        ("--running-var unbiased", true),
        ("--running-var biased", false),
        ("--preset onnx", false),
        ("--preset onnx --running-var unbiased", true),
    ] {
        let out = forward(&small(), &format!("{options} --device cpu"));
        let factor = if unbiased { M / (M - 1.0) } else { 1.0 };
        let batch: Vec<_> = out.wide("batch_var").iter().map(|v| v * factor).collect();
        near(
            &out.wide("running_var"),
            moved(OLD_VAR, &batch, 0.1),
            options,
        );
    }
}

/// A NaN stays in its channel, and in the running statistics only where it was asked for.
#[test]
fn non_finite_values_are_skipped_or_propagate() {
    let clean = forward(&small(), "--device cpu");
    for device in DEVICES {
        let clean = match device {
            "cpu" => clean.clone(),
            _ => forward(&small(), "--device gpu"),
        };
        for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
            let mut values = x();
            values[2] = poison;
            if poison == f32::MAX {
                // A variance that overflows counts as well.
                values[3] = f32::MIN;
            }
            let input = small().f32("x", &SHAPE, &values);
            for (option, skipped) in [
                ("", true),
                ("--non-finite skip", true),
                ("--non-finite propagate", false),
            ] {
                let out = forward(&input, &format!("{option} --device {device}"));
                let what = format!("{poison} {option} {device}");
                for (name, old) in [("running_mean", OLD_MEAN), ("running_var", OLD_VAR)] {
                    let got = out.wide(name)[1];
                    match skipped {
                        true => assert_eq!(got, old[1], "{what}: {name}"),
                        false if poison == f32::MAX => {}
                        false => assert!(!got.is_finite(), "{what}: {name} is {got}"),
                    }
                }
                assert_eq!(out.wide("num_batches_tracked"), [7.0], "{what}");
                for (name, got) in &out.0 {
                    let expected = clean.tensor(name).wide();
                    for (i, (got, expected)) in got.wide().into_iter().zip(expected).enumerate() {
                        let c = if name == "y" { i / 2 % 3 } else { i };
                        if c != 1 && name != "num_batches_tracked" {
                            assert_eq!(got.to_bits(), expected.to_bits(), "{what}: {name}[{i}]");
                        } else if name == "y" {
                            assert!(got.is_nan(), "{what}: y[{i}] is {got}");
                        }
                    }
                }
            }
        }
    }
}

/// Whoever normalizes is told which channels were lost.
#[test]
fn channels_that_are_not_finite_are_named() {
    let mut values = x();
    values[2] = f32::NAN;
    let folder = Folder::new();
    folder.save("clean.safetensors", &small());
    folder.save("nan.safetensors", &small().f32("x", &SHAPE, &values));
    for device in DEVICES {
        for operation in ["forward", "backward"] {
            let line =
                |file| format!("{operation} {file}.safetensors -o o.safetensors --device {device}");
            let told = folder.wgbn(&line("nan"));
            let named = "not finite in 1 of 3 channels: 1\n";
            assert!(told.succeeded().contains(named), "{}", told.succeeded());
            assert_eq!(folder.json(&line("nan"))["not_finite"], json!([1]));
            assert_eq!(folder.json(&line("clean"))["not_finite"], json!([]));
            let quiet = folder.wgbn(&line("clean"));
            assert!(!quiet.succeeded().contains("not finite"));
        }
    }
}

#[test]
fn one_value_per_channel_with_a_biased_variance() {
    let input = Tensors::default()
        .f32("x", &[1, 3], &[7.0, -8.0, 1e6])
        .f32("dy", &[1, 3], &[1.0, 2.0, 3.0])
        .f32("bias", &[3], &[0.5, 1.5, -2.5]);
    for device in DEVICES {
        for option in ["--running-var biased", "--preset keras", "--preset onnx"] {
            let out = forward(&input, &format!("{option} --device {device}"));
            assert_eq!(out.wide("y"), [0.5, 1.5, -2.5], "{device} {option}");
            assert_eq!(out.wide("batch_var"), [0.0; 3], "{device} {option}");
        }
        let folder = Folder::new();
        folder.save("in.safetensors", &input);
        let line = "backward in.safetensors -o out.safetensors --running-var biased";
        folder.json(&format!("{line} --device {device}"));
        let out = folder.load("out.safetensors");
        assert_eq!(out.wide("dx"), [0.0; 3]);
        assert_eq!(out.wide("dbias"), [1.0, 2.0, 3.0]);
    }
}

#[test]
fn moments_take_any_axes() {
    let folder = Folder::new();
    folder.save("in.safetensors", &only_x());
    for device in DEVICES {
        for (axes, kept, with_ones) in [
            ("0,2", &[3][..], &[1, 3, 1][..]),
            ("-3,-1", &[3], &[1, 3, 1]),
            ("1", &[4, 2], &[4, 1, 2]),
            ("-2,0,2", &[], &[1, 1, 1]),
        ] {
            let line = format!("moments in.safetensors -o out.safetensors --device {device}");
            let value = folder.json(&format!("{line} --axes {axes}"));
            let plain = folder.load("out.safetensors");
            assert_eq!(value["statistics_shape"], serde_json::json!(kept), "{axes}");
            assert_eq!(plain.tensor("mean").shape, kept, "{axes}");
            assert_eq!(plain.tensor("variance").shape, kept, "{axes}");
            folder.json(&format!("{line} --axes={axes} --keep-dims"));
            let ones = folder.load("out.safetensors");
            assert_eq!(ones.tensor("mean").shape, with_ones, "{axes}");
            for name in ["mean", "variance"] {
                assert_eq!(ones.tensor(name).bytes, plain.tensor(name).bytes, "{axes}");
            }
        }
    }
}

#[test]
fn results_are_checked_unless_told_otherwise() {
    let folder = Folder::new();
    folder.save("in.safetensors", &small());
    for line in [
        "forward in.safetensors -o out.safetensors --device cpu",
        "backward in.safetensors -o out.safetensors --device cpu",
        "moments in.safetensors -o out.safetensors --axes 0 --device cpu",
    ] {
        assert!(folder.json(line)["findings"].is_array(), "{line}");
        assert!(
            folder.json(&format!("{line} --no-check"))["findings"].is_null(),
            "{line}"
        );

        let run = folder.wgbn(line);
        let text = run.succeeded();
        assert!(text.contains("4×3×2"), "{text}");
        assert!(text.contains("on CPU path"), "{text}");
        assert!(text.contains("worst error"), "{text}");
        assert!(text.ends_with("wrote out.safetensors\n"), "{text}");
        assert!(!text.contains("not checked"), "{text}");

        let run = folder.wgbn(&format!("{line} --no-check"));
        let text = run.succeeded();
        assert!(text.contains("not checked"), "{text}");
        assert!(!text.contains("worst error"), "{text}");
    }
}

#[test]
fn an_adapter_is_named() {
    let folder = Folder::new();
    folder.save("in.safetensors", &small());
    let line = "forward in.safetensors -o out.safetensors";
    let best = folder.json(&format!("{line} --device gpu"))["device"].clone();
    let best = best.as_str().unwrap();
    assert_eq!(
        folder.json(&format!("{line} --device auto"))["device"],
        best
    );
    assert!(folder.json(line)["note"].is_null());
    let run = folder.wgbn(&format!("{line} --device gpu"));
    assert!(run.succeeded().contains(best), "{run:?}");

    // A part of a name, upper and lower case alike.
    let info: serde_json::Value =
        serde_json::from_str(folder.wgbn("info --json").succeeded()).unwrap();
    let name = info["adapters"][0]["name"].as_str().unwrap();
    let word = name.split_whitespace().next().unwrap();
    for word in [word.to_uppercase(), word.to_lowercase()] {
        let device = folder.json(&format!("{line} --device {word}"))["device"].clone();
        let device = device.as_str().unwrap().to_lowercase();
        assert!(device.contains(&word.to_lowercase()), "{device}");
    }
}
