//! Weights and masks in files. Tests with names of one word are of reports of other libraries' users, as in `brought`.

use safetensors::tensor::Dtype;

use crate::brought::{near, run};
use crate::support::{DEVICES, Folder};
use crate::tensors::Tensors;

fn integers(input: Tensors, name: &str, values: &[i64]) -> Tensors {
    let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    input.with(name, Dtype::I64, &[values.len()], bytes)
}

/// Two sequences of one channel, of 4 steps and of 2; NaN beyond.
fn sequences() -> Tensors {
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 9.0, f32::NAN, f32::NAN];
    let dy = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, f32::NAN, f32::INFINITY];
    Tensors::default()
        .f32("x", &[2, 1, 4], &x)
        .f32("dy", &[2, 1, 4], &dy)
        .f32("running_mean", &[1], &[0.0])
        .f32("running_var", &[1], &[1.0])
        .count(5)
}

#[test]
fn padding() {
    let lengths = integers(sequences(), "lengths", &[4, 2]);
    let mask = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0];
    let mask = sequences().f32("weights", &[2, 1, 4], &mask);
    for device in DEVICES {
        for (input, options) in [
            (&lengths, ""),
            (&lengths, " --length-axis 2"),
            (&lengths, " --length-axis -1 --outside zero"),
            (&mask, " --outside zero"),
        ] {
            let line = format!("forward in.safetensors --device {device}{options}");
            let (out, notes) = run(input, &line);
            assert!(notes.is_empty(), "{notes:?}");
            near(&out.wide("batch_mean"), &[4.0]);
            near(&out.wide("batch_var"), &[20.0 / 3.0]);
            near(&out.wide("running_mean"), &[0.4]);
            near(&out.wide("running_var"), &[0.9 + 0.8]);
            near(&out.wide("num_batches_tracked"), &[6.0]);
            let std = (20.0f64 / 3.0 + 1e-5).sqrt();
            let y = [-3.0, -2.0, -1.0, 0.0, 1.0, 5.0].map(|v| v / std);
            near(&out.wide("y")[..6], &y);
            assert_eq!(out.wide("y")[6..], [0.0, 0.0]);

            let line = format!("backward in.safetensors --device {device}{options}");
            let (out, _) = run(input, &line);
            let xhat = y;
            let dx = |k: usize| {
                let dy = if k == 0 { 1.0 } else { 0.0 };
                (dy - 1.0 / 6.0 - xhat[k] * xhat[0] / 6.0) / std
            };
            near(&out.wide("dx")[..6], &[0, 1, 2, 3, 4, 5].map(dx));
            assert_eq!(out.wide("dx")[6..], [0.0, 0.0]);
            near(&out.wide("dweight"), &[xhat[0]]);
            near(&out.wide("dbias"), &[1.0]);

            // Inference knows padding as well.
            let line = format!("forward in.safetensors --mode eval --device {device}{options}");
            let (out, _) = run(input, &line);
            near(
                &out.wide("y")[..2],
                &[1.0, 2.0].map(|v: f64| v / 1.00001f64.sqrt()),
            );
            assert_eq!(out.wide("y")[6..], [0.0, 0.0]);
            let line = format!("backward in.safetensors --mode eval --device {device}{options}");
            let (out, _) = run(input, &line);
            near(&out.wide("dbias"), &[1.0]);
            assert_eq!(out.wide("dx")[6..], [0.0, 0.0]);
        }
    }
}

#[test]
fn weights() {
    let input = Tensors::default()
        .f32("x", &[2, 1], &[0.0, 1.0])
        .f32("dy", &[2, 1], &[1.0, 0.0])
        .f32("weights", &[2, 1], &[1.0, 2.0]);
    for device in DEVICES {
        let (out, _) = run(&input, &format!("forward in.safetensors --device {device}"));
        near(&out.wide("batch_mean"), &[2.0 / 3.0]);
        near(&out.wide("batch_var"), &[2.0 / 9.0]);
        near(&out.wide("running_var"), &[0.9 + 0.1 / 3.0]);
        let line = format!("backward in.safetensors --device {device}");
        let (out, _) = run(&input, &line);
        let std = (2.0f64 / 9.0 + 1e-5).sqrt();
        let xhat = [-2.0 / 3.0 / std, 1.0 / 3.0 / std];
        // dx = (dy − w·(dbias + x̂·dweight)/W)/std.
        let dx = [(1.0, 1.0, xhat[0]), (0.0, 2.0, xhat[1])]
            .map(|(dy, w, at)| (dy - w * (1.0 + at * xhat[0]) / 3.0) / std);
        near(&out.wide("dx"), &dx);
        let line = format!("moments in.safetensors --axes 0 --device {device}");
        let (out, notes) = run(&input.clone().without("dy"), &line);
        near(&out.wide("mean"), &[2.0 / 3.0]);
        near(&out.wide("variance"), &[2.0 / 9.0]);
        assert!(notes.is_empty(), "{notes:?}");
    }
}

/// 3 % of the values are valid, at a mean of a million; NaN stands first, and where pivots are sampled.
#[test]
fn few_valid_values_far_from_zero() {
    let (samples, steps) = (4, 250);
    let is_valid = |k: usize| k % 33 == 32;
    let values: Vec<f32> = (0..samples * steps)
        .map(|k| match is_valid(k) {
            true => 1e6 + ((k * 7) % 5) as f32 - 2.0,
            false => f32::NAN,
        })
        .collect();
    let mask: Vec<f32> = (0..samples * steps)
        .map(|k| f32::from(is_valid(k)))
        .collect();
    let valid: Vec<f64> = values
        .iter()
        .filter(|v| v.is_finite())
        .map(|&v| f64::from(v))
        .collect();
    let mean = valid.iter().sum::<f64>() / valid.len() as f64;
    let variance = valid.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / valid.len() as f64;
    for (shape, axis) in [([samples, 1, steps], 1), ([samples, steps, 1], 2)] {
        let input = Tensors::default()
            .f32("x", &shape, &values)
            .f32("weights", &shape, &mask);
        for device in DEVICES {
            let line =
                format!("forward in.safetensors --axis {axis} --outside zero --device {device}");
            // The check is on.
            let (out, _) = run(&input, &line);
            near(&out.wide("batch_mean"), &[mean]);
            near(&out.wide("batch_var"), &[variance]);
            let y = out.wide("y");
            let k = 32;
            near(
                &[y[k]],
                &[(f64::from(values[k]) - mean) / (variance + 1e-5).sqrt()],
            );
            assert_eq!(y[0], 0.0);
        }
    }
}

#[test]
fn one_valid_value_and_none() {
    let x = Tensors::default()
        .f32("x", &[2, 1, 2], &[7.0, f32::NAN, f32::NAN, f32::NAN])
        .f32("dy", &[2, 1, 2], &[1.0; 4])
        .f32("running_mean", &[1], &[3.0])
        .f32("running_var", &[1], &[2.0])
        .count(5);
    let one = integers(x.clone(), "lengths", &[1, 0]);
    let none = integers(x, "lengths", &[0, 0]);
    let folder = Folder::new();
    for device in DEVICES {
        folder.save("one.safetensors", &one);
        let line = format!("forward one.safetensors -o out.safetensors --device {device}");
        folder.refused(&line, 2, "the weights of a channel sum to 1");
        let line = format!("forward in.safetensors --running-var biased --device {device}");
        let (out, _) = run(&one, &line);
        near(&out.wide("batch_mean"), &[7.0]);
        near(&out.wide("batch_var"), &[0.0]);
        near(&out.wide("running_mean"), &[0.9 * 3.0 + 0.7]);
        assert_eq!(out.wide("y"), [0.0; 4]);

        let (out, notes) = run(&none, &format!("forward in.safetensors --device {device}"));
        assert_eq!(out.wide("y"), [0.0; 4]);
        assert_eq!(out.wide("running_mean"), [3.0]);
        assert_eq!(out.wide("running_var"), [2.0]);
        assert_eq!(out.wide("num_batches_tracked"), [5.0]);
        assert_eq!(
            notes,
            ["all weights are 0: there are no statistics, and none move"]
        );
        let (out, _) = run(&none, &format!("backward in.safetensors --device {device}"));
        assert_eq!(out.wide("dx"), [0.0; 4]);
        assert_eq!(out.wide("dweight"), [0.0]);
        assert_eq!(out.wide("dbias"), [0.0]);
    }
}

#[test]
fn a_region_of_interest_normalizes_what_is_outside_too() {
    // Statistics of the first two values, {0, 2}.
    let input = Tensors::default()
        .f32("x", &[1, 1, 3], &[0.0, 2.0, 5.0])
        .f32("dy", &[1, 1, 3], &[0.0, 0.0, 1.0])
        .f32("weights", &[3], &[1.0, 1.0, 0.0]);
    for device in DEVICES {
        let (out, _) = run(&input, &format!("forward in.safetensors --device {device}"));
        let std = 1.00001f64.sqrt();
        near(&out.wide("y"), &[-1.0 / std, 1.0 / std, 4.0 / std]);
        // dweight = 4/std, and the third value is in no statistics.
        let (out, _) = run(
            &input,
            &format!("backward in.safetensors --device {device}"),
        );
        near(&out.wide("dbias"), &[1.0]);
        near(&out.wide("dweight"), &[4.0 / std]);
        let dx = |xhat: f64| -(1.0 + xhat * 4.0 / std) / 2.0 / std;
        near(&out.wide("dx"), &[dx(-1.0 / std), dx(1.0 / std), 1.0 / std]);
    }
}

#[test]
fn what_is_wrong_of_weights_is_refused() {
    let folder = Folder::new();
    let x = || {
        Tensors::default()
            .f32("x", &[2, 3, 4], &[1.0; 24])
            .f32("dy", &[2, 3, 4], &[1.0; 24])
    };
    let ones = |shape: &[usize]| x().f32("weights", shape, &vec![1.0; shape.iter().product()]);
    let all = "forward in.safetensors -o out.safetensors --device cpu";
    for (input, options, needle) in [
        (ones(&[2, 3, 4]), "", "weights of shape [2, 3, 4]"),
        (ones(&[2, 1, 5]), "", "weights of shape [2, 1, 5]"),
        (ones(&[2]), "", "weights of shape [2]"),
        (
            x().f32("weights", &[4], &[1.0, -1.0, 1.0, 1.0]),
            "",
            "weight 1 is -1.0",
        ),
        (
            x().f32("weights", &[4], &[f32::NAN; 4]),
            "",
            "weight 0 is NaN",
        ),
        (
            x().f32("weights", &[4], &[f32::INFINITY; 4]),
            "",
            "weight 0 is inf",
        ),
        (
            x(),
            " --outside zero",
            "neither \"weights\" nor \"lengths\"",
        ),
        (x(), " --length-axis 2", "the input has no \"lengths\""),
        (
            ones(&[4]),
            " --length-axis 2",
            "the input has no \"lengths\"",
        ),
        (
            integers(ones(&[4]), "lengths", &[1, 2]),
            "",
            "expected one of them",
        ),
        (
            integers(x(), "lengths", &[1]),
            "",
            "lengths has shape [1], expected [2]",
        ),
        (integers(x(), "lengths", &[1, 5]), "", "length 1 is 5"),
        (integers(x(), "lengths", &[-1, 1]), "", "length 0 is -1"),
        (
            integers(x(), "lengths", &[1, 2]),
            " --length-axis 0",
            "--length-axis is 0",
        ),
        (
            integers(x(), "lengths", &[1, 2]),
            " --length-axis 1",
            "--length-axis is 1",
        ),
        (
            integers(x(), "lengths", &[1, 2]),
            " --length-axis 3",
            "--length-axis is 3",
        ),
    ] {
        folder.save("in.safetensors", &input);
        folder.refused(&format!("{all}{options}"), 2, needle);
        let backward = "backward in.safetensors -o out.safetensors --device cpu";
        folder.refused(&format!("{backward}{options}"), 2, needle);
        assert_eq!(folder.names().len(), 1, "{needle}");
    }
    // Of images, both axes may have lengths.
    let image = Tensors::default().f32("x", &[1, 1, 2, 2], &[1.0; 4]);
    folder.save("in.safetensors", &integers(image, "lengths", &[1]));
    folder.refused(all, 2, "--length-axis says which");
    // No dispatch has bindings for all of this.
    let residual = x()
        .f32("residual", &[2, 3, 4], &[1.0; 24])
        .f32("weights", &[4], &[1.0, 0.0, 1.0, 1.0])
        .f32("running_mean", &[3], &[0.0; 3])
        .f32("running_var", &[3], &[1.0; 3]);
    folder.save("in.safetensors", &residual);
    let line = "backward in.safetensors -o out.safetensors --device gpu --mode eval --outside zero --activation relu";
    folder.refused(line, 2, "weights cannot be combined with a residual");
    folder
        .wgbn(&line.replace("--device gpu", "--device cpu"))
        .succeeded();
}
