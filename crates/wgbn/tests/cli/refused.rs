//! Tensors and arguments that do not fit: exit status 2, one line that names the culprit, nothing
//! written, and the next good call works.

use safetensors::tensor::Dtype;

use crate::support::{DEVICES, Folder};
use crate::tensors::{SHAPE, Tensors, dy, only_x, small, x};

const FORWARD: &str = "forward in.safetensors -o out.safetensors";
const EVAL: &str = "forward in.safetensors -o out.safetensors --mode eval";
const BACKWARD: &str = "backward in.safetensors -o out.safetensors";
const FROZEN: &str = "backward in.safetensors -o out.safetensors --mode eval";
const MOMENTS: &str = "moments in.safetensors -o out.safetensors --axes 0,2";

/// Each line is refused for this input, on every device; then a good file is taken.
fn refused(input: &Tensors, lines: &[&str], needle: &str) {
    let folder = Folder::new();
    for line in lines {
        for device in DEVICES {
            folder.save("in.safetensors", input);
            folder.refused(&format!("{line} --device {device}"), 2, needle);
        }
        folder.save("in.safetensors", &small());
        folder.json("forward in.safetensors -o out.safetensors --device cpu");
        std::fs::remove_file(folder.path("out.safetensors")).unwrap();
    }
}

/// A line is refused for the good input.
fn usage(line: &str, needle: &str) {
    refused(&small(), &[line], needle);
}

#[test]
fn tensors_that_are_missing() {
    let everything = [FORWARD, EVAL, BACKWARD, FROZEN, MOMENTS];
    refused(
        &small().without("x"),
        &everything,
        "tensor \"x\" is missing",
    );
    refused(&Tensors::default(), &everything, "tensor \"x\" is missing");
    refused(
        &small().without("dy"),
        &[BACKWARD, FROZEN],
        "tensor \"dy\" is missing",
    );
    let no_mean = small().without("running_mean");
    let no_variance = small().without("running_var");
    let all = [FORWARD, EVAL, BACKWARD, FROZEN];
    refused(&no_mean, &all, "tensor \"running_mean\" is missing");
    refused(&no_variance, &all, "tensor \"running_var\" is missing");
    let neither = no_mean.without("running_var");
    refused(&neither, &[EVAL, FROZEN], "\"running_mean\"");
    refused(&neither, &[EVAL, FROZEN], "\"running_var\"");
    refused(&only_x(), &[EVAL], "\"running_var\"");
    let uncounted = small().without("num_batches_tracked");
    let cumulative = format!("{FORWARD} --momentum cumulative");
    let needle = "tensor \"num_batches_tracked\" is missing";
    refused(&uncounted, &[&cumulative], needle);
    // Under a prefix they are named with it.
    let prefixed = format!("{EVAL} --prefix bn1.");
    let trained = format!("{FORWARD} --prefix bn1.");
    refused(
        &small(),
        &[&prefixed, &trained],
        "--prefix: no tensor of a layer has the prefix \"bn1.\"",
    );
    let half = small().under("bn1.").without("bn1.running_var");
    refused(&half, &[&prefixed], "\"bn1.running_var\"");
}

#[test]
fn tensors_of_another_shape() {
    let (dy, x) = (dy(), x());
    for shape in [
        &[4, 3][..],
        &[4, 2, 3],
        &[24],
        &[4, 3, 2, 1],
        &[8, 3, 1],
        &[],
    ] {
        let len = shape.iter().product();
        let other = small().f32("dy", shape, &dy[..len]);
        refused(&other, &[BACKWARD, FROZEN], "dy has shape");
    }
    for name in ["weight", "bias", "running_mean", "running_var"] {
        for shape in [&[2][..], &[4], &[0], &[], &[1, 3], &[3, 1]] {
            let len = shape.iter().product();
            let other = small().f32(name, shape, &x[..len]);
            let needle = format!("tensor \"{name}\" has shape {shape:?}, expected [3]");
            refused(&other, &[FORWARD, FROZEN], &needle);
        }
    }
    let counts = small().with("num_batches_tracked", Dtype::I64, &[2], vec![0; 16]);
    refused(
        &counts,
        &[FORWARD],
        "tensor \"num_batches_tracked\" has shape [2], expected []",
    );
    // Per-channel tensors are as long as the axis asked for.
    usage(&format!("{FORWARD} --axis 0"), "expected [4]");
    usage(&format!("{BACKWARD} --axis -1"), "expected [2]");
}

#[test]
fn tensors_of_another_dtype() {
    let all = [FORWARD, EVAL, BACKWARD, MOMENTS];
    for (dtype, size) in [(Dtype::BOOL, 1), (Dtype::F8_E4M3, 1), (Dtype::C64, 8)] {
        let other = small().with("x", dtype, &SHAPE, vec![0; 24 * size]);
        let needle = format!("tensor \"x\" has dtype {dtype:?}");
        refused(&other, &all, &needle);
    }
    let other = small().with("dy", Dtype::C64, &SHAPE, vec![0; 24 * 8]);
    refused(&other, &[BACKWARD], "tensor \"dy\" has dtype C64");
    let other = small().f16("dy", &SHAPE, &dy());
    refused(
        &other,
        &[BACKWARD, FROZEN],
        "dy has element type F16, expected F32",
    );
    let other = small().bf16("x", &SHAPE, &x());
    refused(
        &other,
        &[BACKWARD, FROZEN],
        "dy has element type F32, expected Bf16",
    );
    for name in ["weight", "bias", "running_mean", "running_var"] {
        let other = small().with(name, Dtype::BOOL, &[3], vec![1; 3]);
        let needle = format!("tensor \"{name}\" has dtype BOOL");
        refused(&other, &[FORWARD, FROZEN], &needle);
    }
    let other = small().with("num_batches_tracked", Dtype::BOOL, &[], vec![0]);
    refused(
        &other,
        &[FORWARD],
        "tensor \"num_batches_tracked\" has dtype BOOL",
    );
}

#[test]
fn values_that_no_layer_has() {
    let all = [FORWARD, EVAL, BACKWARD, FROZEN];
    for (variance, got) in [
        (-0.5, "-0.5"),
        (f32::NEG_INFINITY, "-inf"),
        (-1e-5, "-1e-5"),
        (f32::NAN, "NaN"),
        (f32::INFINITY, "inf"),
    ] {
        let input = small().f32("running_var", &[3], &[1.0, variance, 1.0]);
        let needle = format!("tensor \"running_var\" holds {got} in channel 1");
        refused(&input, &all, &needle);
    }
    let input = small().f32("running_mean", &[3], &[1.0, 2.0, f32::NAN]);
    refused(
        &input,
        &all,
        "tensor \"running_mean\" holds NaN in channel 2",
    );
    let needle = "tensor \"num_batches_tracked\" holds -1";
    refused(&small().count(-1), &[FORWARD], needle);
    for count in [-1.0, f32::NAN, f32::INFINITY, 2f32.powi(64)] {
        let input = small().f32("num_batches_tracked", &[1], &[count]);
        refused(&input, &[FORWARD], "tensor \"num_batches_tracked\" holds ");
    }
    let cumulative = format!("{FORWARD} --momentum cumulative");
    let input = small().f32("num_batches_tracked", &[], &[12.5]);
    refused(
        &input,
        &[&cumulative],
        "holds 12.5, expected a count, a whole number",
    );
}

#[test]
fn shapes_without_a_batch() {
    let x = x();
    let with = |shape: &[usize]| {
        let len = shape.iter().product();
        let tensors = Tensors::default().f32("x", shape, &x[..len]);
        tensors.f32("dy", shape, &x[..len])
    };
    for (shape, needle) in [
        (&[][..], "rank 0"),
        (&[24], "rank 1"),
        (&[0], "rank 1"),
        (&[0, 0], "length 0"),
        (&[4, 0], "length 0"),
        (&[4, 3, 0], "length 0"),
    ] {
        refused(&with(shape), &[FORWARD, BACKWARD], needle);
        refused(&with(shape), &[FORWARD, BACKWARD], "x: ");
    }
    let moments = "moments in.safetensors -o out.safetensors --axes 0";
    refused(&with(&[]), &[moments], "rank 0");
    refused(&with(&[4, 0]), &[moments], "length 0");
    // What is kept of an empty batch.
    let kept = "moments in.safetensors -o out.safetensors --axes 1";
    refused(&with(&[0, 3]), &[kept], "length 0");
}

#[test]
fn axes_out_of_range() {
    for axis in [
        "3",
        "-4",
        "2147483648",
        "9223372036854775807",
        "-9223372036854775808",
    ] {
        for line in [FORWARD, BACKWARD, EVAL] {
            usage(&format!("{line} --axis {axis}"), &format!("axis {axis}"));
        }
        let line = "moments in.safetensors -o out.safetensors";
        usage(&format!("{line} --axes {axis}"), &format!("axis {axis}"));
        usage(&format!("{line} --axes=0,{axis}"), &format!("axis {axis}"));
    }
    let line = "moments in.safetensors -o out.safetensors";
    usage(&format!("{line} --axes 0,0"), "axis 0 is named twice");
    usage(&format!("{line} --axes 1,-2"), "axis 1 is named twice");
    for axis in ["one", "1.0", "99999999999999999999"] {
        usage(&format!("{FORWARD} --axis {axis}"), "--axis");
        usage(&format!("{line} --axes 0,{axis}"), "--axes");
    }
    usage(&format!("{line} --axes="), "--axes");
    usage(&format!("{line} --axes ,"), "--axes");
    usage(line, "--axes");
}

#[test]
fn options_out_of_range() {
    for line in [FORWARD, EVAL, BACKWARD, FROZEN] {
        for eps in ["nan", "-1e-5", "-inf", "inf", "1e99"] {
            usage(&format!("{line} --eps {eps}"), "eps is ");
        }
        for momentum in ["2", "-0.1", "nan", "inf", "1.0000001"] {
            usage(&format!("{line} --momentum {momentum}"), "momentum is ");
        }
        for decay in ["2", "-0.1", "nan", "inf", "many"] {
            usage(&format!("{line} --decay {decay}"), "--decay");
        }
        usage(&format!("{line} --eps small"), "--eps");
        usage(&format!("{line} --momentum Cumulative"), "--momentum");
        usage(&format!("{line} --momentum 0.1 --decay 0.9"), "--decay");
        usage(&format!("{line} --momentum 0.1 --decay 0.9"), "--momentum");
    }
    for line in [FORWARD, BACKWARD] {
        // Below the smallest normal number counts as zero.
        for eps in ["0", "-0", "1e-39", "1e-60"] {
            usage(&format!("{line} --eps {eps}"), "eps is ");
        }
    }
}

#[test]
fn one_value_per_channel() {
    let input =
        Tensors::default()
            .f32("x", &[1, 3], &[1.0, 2.0, 3.0])
            .f32("dy", &[1, 3], &[1.0, 2.0, 3.0]);
    for line in [FORWARD, BACKWARD] {
        let needle = "one value per channel";
        refused(&input, &[line], needle);
        refused(&input, &[line], "(1, 3, 1)");
        let spelled = format!("{line} --preset keras --running-var unbiased");
        refused(&input, &[&spelled], needle);
    }
}

#[test]
fn outputs_that_cannot_be() {
    usage(
        "forward in.safetensors -o no/such/folder/out.safetensors",
        "no such output folder",
    );
    usage(
        "forward in.safetensors -o no/such/folder/out.safetensors",
        "no/such/folder",
    );
    usage(
        "moments in.safetensors --axes 0 -o no/out.safetensors",
        "no such output folder",
    );
    usage("forward in.safetensors -o .", "folder");
    usage("forward in.safetensors -o ..", "folder");
    usage("backward in.safetensors -o /", "folder");
    usage(
        "backward in.safetensors -o out.npy",
        "out.npy: only forward writes .npy",
    );
    usage(
        "backward in.safetensors -o out.NPY",
        "only forward writes .npy",
    );
    usage(
        "moments in.safetensors --axes 0 -o out.npy",
        "only forward writes .npy",
    );
    let bf16 = Tensors::default().bf16("x", &SHAPE, &x());
    refused(
        &bf16,
        &["forward in.safetensors -o out.npy"],
        "out.npy: .npy holds no bf16",
    );

    let folder = Folder::new();
    folder.save("in.safetensors", &small());
    std::fs::create_dir(folder.path("folder")).unwrap();
    folder.refused(
        "forward in.safetensors -o folder",
        2,
        "folder: the output is a folder",
    );
    folder.refused(
        "forward in.safetensors -o folder/",
        2,
        "the output is a folder",
    );
    folder.refused(
        "forward in.safetensors -o in.safetensors/out",
        2,
        "no such output folder",
    );
}

#[test]
fn an_output_that_is_there_survives_a_failure() {
    let folder = Folder::new();
    folder.write("out.safetensors", b"precious");
    folder.save("in.safetensors", &small().without("x"));
    folder.refused(FORWARD, 2, "\"x\"");
    folder.save("in.safetensors", &small());
    folder.refused(&format!("{FORWARD} --eps nan --device cpu"), 2, "eps");
    folder.refused(&format!("{FORWARD} --eps 0 --device gpu"), 2, "eps");
    folder.refused(&format!("{FORWARD} --device nobody"), 2, "nobody");
    assert_eq!(folder.bytes("out.safetensors"), b"precious");
}

#[test]
fn a_numpy_file_holds_x_alone() {
    let folder = Folder::new();
    let header = crate::npy::header("<f4", false, "(4, 3, 2)");
    let bytes = crate::npy::version_1(&header, &crate::npy::f32_bytes(&x()));
    folder.write("x.npy", &bytes);
    folder.refused(
        "backward x.npy -o out.safetensors",
        2,
        "tensor \"dy\" is missing",
    );
    folder.refused("forward x.npy -o y.npy --mode eval", 2, "\"running_mean\"");
    folder.json("forward x.npy -o y.npy --device cpu");
}

#[test]
fn devices_that_are_not_there() {
    let info: serde_json::Value =
        serde_json::from_str(Folder::new().wgbn("info --json").succeeded()).unwrap();
    let folder = Folder::new();
    folder.save("in.safetensors", &small());
    for command in [FORWARD, BACKWARD, MOMENTS, "demo", "verify --quick"] {
        let line = format!("{command} --device nobody's-adapter");
        folder.refused(&line, 2, "nobody's-adapter");
        // It says what there is.
        for adapter in info["adapters"].as_array().unwrap() {
            folder.refused(&line, 2, adapter["name"].as_str().unwrap());
        }
        let empty: Vec<_> = command.split(' ').chain(["--device", ""]).collect();
        folder.run(&empty).failed(2, "--device");
    }
    assert_eq!(folder.names(), ["in.safetensors"]);
}

#[test]
fn command_lines_that_are_none() {
    let folder = Folder::new();
    folder.save("in.safetensors", &small());
    for (line, needle) in [
        ("", "a command is needed"),
        ("froward", "froward"),
        ("--colour", "--colour"),
        ("forward", "<INPUT>"),
        ("forward", "--output"),
        ("forward in.safetensors", "--output"),
        ("forward -o out.safetensors", "<INPUT>"),
        ("forward in.safetensors -o", "--output"),
        ("forward in.safetensors extra -o out.safetensors", "extra"),
        (
            "forward in.safetensors -o a.safetensors -o b.safetensors",
            "--output",
        ),
        (
            "forward in.safetensors -o out.safetensors --sideways",
            "--sideways",
        ),
        ("forward in.safetensors -o out.safetensors --axis", "--axis"),
        (
            "forward in.safetensors -o out.safetensors --axis 1 --axis 1",
            "--axis",
        ),
        (
            "forward in.safetensors -o out.safetensors --axes 0",
            "--axes",
        ),
        (
            "forward in.safetensors -o out.safetensors --mode test",
            "--mode",
        ),
        (
            "forward in.safetensors -o out.safetensors --mode test",
            "test",
        ),
        (
            "forward in.safetensors -o out.safetensors --preset jax",
            "--preset",
        ),
        (
            "forward in.safetensors -o out.safetensors --running-var both",
            "--running-var",
        ),
        (
            "forward in.safetensors -o out.safetensors --non-finite keep",
            "--non-finite",
        ),
        (
            "forward in.safetensors -o out.safetensors --json=yes",
            "--json",
        ),
        ("backward", "<INPUT>"),
        ("moments in.safetensors --axes 0", "--output"),
        (
            "moments in.safetensors --axes 0 -o out.safetensors --mode train",
            "--mode",
        ),
        ("demo now", "now"),
        ("info --all", "--all"),
        ("verify --slow", "--slow"),
    ] {
        folder.refused(line, 2, needle);
    }
    folder.json("forward in.safetensors -o out.safetensors --device cpu");
}
