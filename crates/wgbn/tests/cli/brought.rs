//! Files as other programs leave them. Each test has the name of a report of another library's users, whose small
//! input and right value it holds.

use std::io::Write;

use safetensors::tensor::Dtype;
use serde_json::Value;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::npy;
use crate::support::{DEVICES, Folder};
use crate::tensors::{SHAPE, Stored, Tensors, only_x, small, x};

/// Runs on `input` and gives the output, and the notes.
pub fn run(input: &Tensors, line: &str) -> (Stored, Vec<String>) {
    let folder = Folder::new();
    folder.save("in.safetensors", input);
    let value = folder.json(&format!("{line} -o out.safetensors"));
    (folder.load("out.safetensors"), notes(&value))
}

fn notes(value: &Value) -> Vec<String> {
    let notes = value["notes"].as_array().unwrap().iter();
    notes
        .map(|note| note.as_str().unwrap().to_owned())
        .collect()
}

pub fn near(got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        assert!(
            (got - expected).abs() <= 2e-6 * expected.abs().max(1.0),
            "{got} {expected}"
        );
    }
}

/// Channel 0 of {0, 2}, channel 1 of {10, 14}.
fn two_channels() -> Tensors {
    Tensors::default().f32("x", &[2, 2, 1], &[0.0, 10.0, 2.0, 14.0])
}

#[test]
fn keras_names() {
    let input = two_channels()
        .f32("gamma", &[2], &[3.0, 5.0])
        .f32("beta", &[2], &[1.0, -1.0])
        .f32("moving_mean", &[2], &[0.0; 2])
        .f32("moving_variance", &[2], &[1.0; 2]);
    for device in DEVICES {
        let line = format!("forward in.safetensors --preset keras --axis 1 --device {device}");
        let (out, notes) = run(&input, &line);
        // 1 and 4 under the root, each with 1e-3.
        let (a, b) = (3.0 / 1.001f64.sqrt(), 10.0 / 4.001f64.sqrt());
        near(&out.wide("y"), &[1.0 - a, -1.0 - b, 1.0 + a, -1.0 + b]);
        near(&[a, b], &[2.998502, 4.999375]);
        near(&out.wide("running_mean"), &[0.01, 0.12]);
        assert_eq!(notes, ["its tensors have the names of keras"]);
    }
}

#[test]
fn module_prefix() {
    let one = two_channels()
        .f32("module.bn1.weight", &[2], &[3.0, 5.0])
        .f32("module.bn1.bias", &[2], &[1.0, -1.0])
        // A convolution and a linear layer of as many outputs.
        .f32("module.conv1.weight", &[2, 1, 1, 1], &[1.0; 2])
        .f32("module.conv1.bias", &[2], &[7.0; 2])
        .f32("fc.bias", &[2], &[7.0; 2]);
    for device in DEVICES {
        let line = format!("forward in.safetensors --device {device}");
        let (out, notes) = run(&one, &line);
        let (a, b) = (3.0 / 1.00001f64.sqrt(), 10.0 / 4.00001f64.sqrt());
        near(&out.wide("y"), &[1.0 - a, -1.0 - b, 1.0 + a, -1.0 + b]);
        let unused = r#"not used: "fc.bias", "module.conv1.bias", "module.conv1.weight""#;
        let found = r#"the layer is the one with the prefix "module.bn1.""#;
        assert_eq!(notes, [found, unused]);
    }
    let two = one.clone().f32("module.bn2.weight", &[2], &[1.0; 2]);
    let folder = Folder::new();
    folder.save("in.safetensors", &two);
    let line = "forward in.safetensors -o out.safetensors";
    let needle = r#"give one of the prefixes "module.bn1.", "module.bn2.""#;
    folder.refused(line, 2, needle);
    folder.json(&format!("{line} --prefix module.bn2. --device cpu"));
    // Another number of channels is another layer.
    let (_, notes) = run(
        &one.f32("module.bn2.weight", &[3], &[1.0; 3]),
        "forward in.safetensors --device cpu",
    );
    assert!(notes[0].contains("module.bn1."), "{notes:?}");
}

/// Names of no library, as long as there are channels: they were skipped without a word.
#[test]
fn parameters_by_other_names() {
    let folder = Folder::new();
    let input = only_x()
        .f32("bn_gamma", &[3], &[1.0; 3])
        .f32("mask", &[4], &[1.0; 4]);
    folder.save("in.safetensors", &input);
    let line = "forward in.safetensors -o out.safetensors";
    folder.refused(
        line,
        2,
        r#"though there are tensors of 3 values: "bn_gamma""#,
    );
    let (_, notes) = run(
        &input.without("bn_gamma"),
        "forward in.safetensors --device cpu",
    );
    assert_eq!(notes, [r#"not used: "mask""#]);
}

/// Every library's names mean the same, given or found.
#[test]
fn names_of_each_library() {
    let line = "forward in.safetensors --mode eval --device cpu";
    let (expected, _) = run(&small(), line);
    let base = ["weight", "bias", "running_mean", "running_var"];
    let renamed = |names: [&str; 4], prefix: &str| {
        let mut input = only_x();
        for (name, (values, _)) in names.iter().zip([
            ([1.5, -0.75, 0.5], base[0]),
            ([0.25, 1.0, -2.0], base[1]),
            ([0.5, 1.5, 2.5], base[2]),
            ([0.75, 1.25, 0.5], base[3]),
        ]) {
            input = input.f32(&format!("{prefix}{name}"), &[3], &values);
        }
        input
    };
    for (library, names) in [
        ("pytorch", base),
        ("keras", ["gamma", "beta", "moving_mean", "moving_variance"]),
        (
            "keras",
            ["gamma:0", "beta:0", "moving_mean:0", "moving_variance:0"],
        ),
        ("flax", ["scale", "bias", "mean", "var"]),
        ("onnx", ["scale", "B", "input_mean", "input_var"]),
        ("caffe", ["weight", "bias", "0", "1"]),
    ] {
        for prefix in ["", "layer1/bn/", "layer1.bn."] {
            let mut input = renamed(names, prefix);
            if library == "caffe" {
                input = input.f32(&format!("{prefix}2"), &[1], &[1.0]);
            }
            for line in [line.to_owned(), format!("{line} --names {library}")] {
                let (got, notes) = run(&input, &line);
                assert_eq!(got, expected, "{library} {prefix}");
                assert!(
                    notes.iter().all(|note| !note.contains("not used")),
                    "{notes:?}"
                );
            }
        }
    }
    // Flax keeps parameters and statistics apart.
    let flax = [
        "params.bn.scale",
        "params.bn.bias",
        "batch_stats.bn.mean",
        "batch_stats.bn.var",
    ];
    let (got, said) = run(&renamed(flax, ""), line);
    assert_eq!(got, expected);
    assert_eq!(said[0], r#"the layer is the one with the prefix "bn.""#);
    // Caffe's third blob divides the others.
    let caffe = only_x()
        .f32("weight", &[3], &[1.5, -0.75, 0.5])
        .f32("bias", &[3], &[0.25, 1.0, -2.0])
        .f32("0", &[3], &[1.0, 3.0, 5.0])
        .f32("1", &[3], &[1.5, 2.5, 1.0]);
    let (got, _) = run(&caffe.clone().f32("2", &[1], &[2.0]), line);
    assert_eq!(got, expected);
    let folder = Folder::new();
    folder.save("in.safetensors", &caffe.f32("2", &[1], &[-2.0]));
    folder.refused(&format!("{line} -o out.safetensors"), 2, "\"2\" holds -2.0");
    // Names of two libraries.
    let mixed = renamed(["gamma", "beta", "running_mean", "running_var"], "");
    folder.save("in.safetensors", &mixed);
    let line = format!("{line} -o out.safetensors");
    let needle = r#"--names: the names of several libraries: "beta", "gamma", "running_mean""#;
    folder.refused(&line, 2, needle);
    let value = folder.json(&format!("{line} --names pytorch"));
    assert_eq!(notes(&value), [r#"not used: "beta", "gamma""#]);
}

#[test]
fn parameters_that_are_ignored() {
    for (line, without) in [
        ("--ignore weight", &["weight"][..]),
        ("--ignore bias", &["bias"]),
        ("--ignore weight,bias", &["weight", "bias"]),
    ] {
        let line = format!("forward in.safetensors --device cpu {line}");
        let (got, notes) = run(&small(), &line);
        let fewer = without
            .iter()
            .fold(small(), |input, name| input.without(name));
        let (expected, _) = run(&fewer, "forward in.safetensors --device cpu");
        assert_eq!(got, expected, "{line}");
        assert!(notes.is_empty(), "{notes:?}");
    }
}

#[test]
fn variance_below_zero() {
    let variance = -9.9999e-6f32;
    let shape = [1, 2, 1];
    let input = Tensors::default()
        .f32("x", &shape, &[1.0, 1.0])
        .f32("dy", &shape, &[1.0, 1.0])
        .f32("running_mean", &[2], &[0.0; 2])
        .f32("running_var", &[2], &[variance, 0.0476]);
    for device in DEVICES {
        let line = format!("in.safetensors --mode eval --eps 1e-5 --device {device}");
        for (operation, tensor) in [("forward", "y"), ("backward", "dx")] {
            let (out, _) = run(&input, &format!("{operation} {line}"));
            let got = out.wide(tensor);
            assert!((got[0] / 99977.8 - 1.0).abs() < 1e-6, "{device} {got:?}");
            assert!((got[1] / 4.58301 - 1.0).abs() < 1e-6, "{device} {got:?}");
        }
    }
}

#[test]
fn counter_forms() {
    let with = |dtype, shape: &[usize], bytes: &[u8]| {
        small().with("num_batches_tracked", dtype, shape, bytes.to_vec())
    };
    let line = "forward in.safetensors --device cpu --momentum cumulative";
    let (expected, _) = run(&small().count(12), line);
    for input in [
        with(Dtype::I64, &[1], &12i64.to_le_bytes()),
        with(Dtype::I32, &[], &12i32.to_le_bytes()),
        with(Dtype::U64, &[], &12u64.to_le_bytes()),
        with(Dtype::I16, &[1], &12i16.to_le_bytes()),
        with(Dtype::U8, &[], &[12]),
        with(Dtype::F32, &[], &12f32.to_le_bytes()),
        with(Dtype::F64, &[1], &12f64.to_le_bytes()),
        with(Dtype::F16, &[], &half::f16::from_f32(12.0).to_le_bytes()),
    ] {
        let (got, notes) = run(&input, line);
        assert_eq!(got, expected);
        assert!(notes.is_empty(), "{notes:?}");
    }
    // An average that forgets needs no count.
    let line = "forward in.safetensors --device cpu";
    let (expected, _) = run(&small().count(12), line);
    let (got, notes) = run(&with(Dtype::F32, &[], &12.4f32.to_le_bytes()), line);
    assert_eq!(got, expected);
    assert_eq!(
        notes,
        ["num_batches_tracked holds 12.399999618530273 and is rounded down to 12"]
    );
}

/// Numbers of every type as safetensors and NumPy's files hold them.
#[test]
fn f64_array() {
    let folder = Folder::new();
    // Whole numbers, which all types hold, and others.
    let whole: Vec<f32> = (0..24).map(|i| ((i * 7) % 11) as f32).collect();
    let third: Vec<f64> = (0..24).map(|i| f64::from((i * 7) % 11) / 3.0).collect();
    let narrow: Vec<f32> = third.iter().map(|&v| v as f32).collect();
    let expected = |values: &[f32]| {
        folder.save(
            "in.safetensors",
            &Tensors::default().f32("x", &SHAPE, values),
        );
        folder.json("forward in.safetensors -o out.safetensors --device cpu");
        folder.bytes("out.safetensors")
    };
    let (of_whole, of_third) = (expected(&whole), expected(&narrow));
    macro_rules! bytes {
        ($number:ty, $to:ident) => {
            whole
                .iter()
                .flat_map(|&v| (v as $number).$to())
                .collect::<Vec<u8>>()
        };
    }
    for (descr, data) in [
        ("<f8", bytes!(f64, to_le_bytes)),
        (">f8", bytes!(f64, to_be_bytes)),
        (">f4", bytes!(f32, to_be_bytes)),
        ("|i1", bytes!(i8, to_le_bytes)),
        ("|u1", bytes!(u8, to_le_bytes)),
        ("<i2", bytes!(i16, to_le_bytes)),
        (">u2", bytes!(u16, to_be_bytes)),
        ("<i4", bytes!(i32, to_le_bytes)),
        (">i4", bytes!(i32, to_be_bytes)),
        ("<u4", bytes!(u32, to_le_bytes)),
        ("<i8", bytes!(i64, to_le_bytes)),
        (">u8", bytes!(u64, to_be_bytes)),
    ] {
        let header = npy::header(descr, false, "(4, 3, 2)");
        folder.write("x.npy", &npy::version_1(&header, &data));
        let value = folder.json("forward x.npy -o out.safetensors --device cpu");
        assert!(folder.bytes("out.safetensors") == of_whole, "{descr}");
        // What f32 holds all of is not worth a word.
        let wide = !matches!(&descr[1..], "f4" | "i1" | "u1" | "i2" | "u2");
        let said = notes(&value);
        assert_eq!(said.len(), usize::from(wide), "{descr}: {said:?}");
        assert!(
            said.iter()
                .all(|note| note.ends_with("and is rounded to f32"))
        );
    }
    for (dtype, data) in [
        (Dtype::F64, bytes!(f64, to_le_bytes)),
        (Dtype::U8, bytes!(u8, to_le_bytes)),
        (Dtype::I16, bytes!(i16, to_le_bytes)),
        (Dtype::I32, bytes!(i32, to_le_bytes)),
        (Dtype::U64, bytes!(u64, to_le_bytes)),
    ] {
        folder.save(
            "in.safetensors",
            &Tensors::default().with("x", dtype, &SHAPE, data),
        );
        folder.json("forward in.safetensors -o out.safetensors --device cpu");
        assert!(folder.bytes("out.safetensors") == of_whole, "{dtype:?}");
    }
    folder.save(
        "in.safetensors",
        &Tensors::default().f64("x", &SHAPE, &third),
    );
    let value = folder.json("forward in.safetensors -o out.safetensors --device cpu");
    assert!(folder.bytes("out.safetensors") == of_third);
    assert_eq!(notes(&value), ["x is F64 and is rounded to f32"]);
    // Halves stay halves, whichever byte comes first.
    let data = whole
        .iter()
        .flat_map(|&v| half::f16::from_f32(v).to_be_bytes());
    let header = npy::header(">f2", false, "(4, 3, 2)");
    folder.write("x.npy", &npy::version_1(&header, &data.collect::<Vec<_>>()));
    folder.json("forward x.npy -o out.safetensors --device cpu");
    assert_eq!(folder.load("out.safetensors").tensor("y").dtype, Dtype::F16);
    // Nothing is lost: what f32 does not hold is refused.
    let mut large = third;
    large[5] = 1e39;
    folder.save(
        "in.safetensors",
        &Tensors::default().f64("x", &SHAPE, &large),
    );
    let line = "forward in.safetensors -o out.safetensors";
    folder.refused(
        line,
        2,
        "tensor \"x\" holds 1e39 at index 5, which f32 does not hold",
    );
    // Parameters come in all types too.
    let wide = small().f64("weight", &[3], &[1.5, -0.75, 0.5]);
    let (got, notes) = run(&wide, "forward in.safetensors --device cpu");
    assert_eq!(got, run(&small(), "forward in.safetensors --device cpu").0);
    assert_eq!(notes, ["weight is F64 and is rounded to f32"]);
}

#[test]
fn fortran_order() {
    let folder = Folder::new();
    folder.save("in.safetensors", &only_x());
    folder.json("forward in.safetensors -o out.safetensors --device cpu");
    let expected = folder.bytes("out.safetensors");
    let [n, c, l] = SHAPE;
    let mut turned = vec![0.0; n * c * l];
    for (k, v) in x().into_iter().enumerate() {
        let (i, j, m) = (k / (c * l), k / l % c, k % l);
        turned[i + n * (j + c * m)] = v;
    }
    let header = npy::header("<f4", true, "(4, 3, 2)");
    folder.write("x.npy", &npy::version_1(&header, &npy::f32_bytes(&turned)));
    folder.json("forward x.npy -o out.safetensors --device cpu");
    assert!(folder.bytes("out.safetensors") == expected);
}

/// NumPy's archive of these members.
fn archive(members: &[(&str, Vec<u8>)], packed: bool) -> Vec<u8> {
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let method = match packed {
        true => zip::CompressionMethod::Deflated,
        false => zip::CompressionMethod::Stored,
    };
    for (name, bytes) in members {
        let options = SimpleFileOptions::default().compression_method(method);
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn numpy_archives() {
    let folder = Folder::new();
    folder.save("in.safetensors", &only_x());
    folder.json("forward in.safetensors -o out.safetensors --device cpu");
    let expected = folder.bytes("out.safetensors");
    let array = |shape: &str, values: &[f32]| {
        npy::version_1(&npy::header("<f4", false, shape), &npy::f32_bytes(values))
    };
    let x_array = array("(4, 3, 2)", &x());
    for packed in [false, true] {
        // The only array, whatever its name, and the one that is named.
        let alone = archive(&[("arr_0.npy", x_array.clone())], packed);
        let named = [
            ("other.npy", array("(2, 2)", &[1.0; 4])),
            ("x.npy", x_array.clone()),
            ("notes.txt", b"no array".to_vec()),
        ];
        folder.write("x.npz", &alone);
        let value = folder.json("forward x.npz -o out.safetensors --device cpu");
        assert!(folder.bytes("out.safetensors") == expected);
        assert_eq!(notes(&value), [""; 0]);
        folder.write("x.npz", &archive(&named, packed));
        let value = folder.json("forward x.npz -o out.safetensors --device cpu");
        assert!(folder.bytes("out.safetensors") == expected);
        let said = [r#"not an array: "notes.txt""#, r#"not used: "other""#];
        assert_eq!(notes(&value), said);
        // A layer beside it is read as from any file.
        let with_layer = [
            ("x.npy", x_array.clone()),
            ("gamma.npy", array("(3,)", &[1.5, -0.75, 0.5])),
            ("beta.npy", array("(3,)", &[0.25, 1.0, -2.0])),
        ];
        folder.write("x.npz", &archive(&with_layer, packed));
        folder.json("forward x.npz -o out.safetensors --device cpu");
        let (layer, _) = run(
            &only_x()
                .f32("weight", &[3], &[1.5, -0.75, 0.5])
                .f32("bias", &[3], &[0.25, 1.0, -2.0]),
            "forward in.safetensors --device cpu",
        );
        assert_eq!(folder.load("out.safetensors"), layer);
    }
    // More than the header says: it is not inflated to its end.
    let mut bomb = x_array.clone();
    bomb.extend(vec![0; 1 << 26]);
    let line = "forward x.npz -o out.safetensors";
    folder.write("x.npz", &archive(&[("x.npy", bomb)], true));
    folder.refused(
        line,
        2,
        "x.npy: not a valid .npy file: more than 96 bytes of data",
    );
    let two = [("a.npy", x_array.clone()), ("b.npy", x_array.clone())];
    folder.write("x.npz", &archive(&two, false));
    folder.refused(line, 2, "x.npz: tensor \"x\" is missing");
    let good = archive(&[("x.npy", x_array)], true);
    for len in (4..good.len()).step_by(7) {
        folder.write("x.npz", &good[..len]);
        folder.refused(line, 2, "x.npz: not a valid .npz file");
    }
}

/// What training leaves is the layer's next state.
#[test]
fn an_output_is_the_next_input() {
    let folder = Folder::new();
    let line = "forward in.safetensors -o out.safetensors --device cpu";
    folder.save("in.safetensors", &small());
    folder.json(line);
    let once = folder.load("out.safetensors");
    let parameters = run(&small(), "forward in.safetensors --device cpu").0;
    for (name, values) in [("weight", [1.5, -0.75, 0.5]), ("bias", [0.25, 1.0, -2.0])] {
        assert_eq!(once.wide(name), values);
    }
    let mut next = only_x();
    for (name, tensor) in &parameters.0 {
        next = next.with(name, tensor.dtype, &tensor.shape, tensor.bytes.clone());
    }
    folder.save("in.safetensors", &next);
    let value = folder.json(line);
    let unused = r#"not used: "batch_mean", "batch_var", "inv_std", "y""#;
    assert_eq!(notes(&value), [unused]);
    let twice = folder.load("out.safetensors");
    assert_eq!(twice.tensor("y"), once.tensor("y"));
    assert_eq!(twice.wide("num_batches_tracked"), [8.0]);
}

/// A tensor of rank 1 is one channel, as ONNX has it.
#[test]
fn vector() {
    let x: Vec<f32> = (0..10).map(|i| i as f32).collect();
    let input = Tensors::default()
        .f32("x", &[10], &x)
        .f32("dy", &[10], &[1.0; 10])
        .f32("running_mean", &[1], &[4.5])
        .f32("running_var", &[1], &[8.25]);
    let root = 8.25001f64.sqrt();
    let expected: Vec<_> = x.iter().map(|&x| (f64::from(x) - 4.5) / root).collect();
    for device in DEVICES {
        let line = format!("in.safetensors --preset onnx --device {device}");
        // The batch has the same mean and variance.
        for mode in ["eval", "train"] {
            let (out, _) = run(&input, &format!("forward {line} --mode {mode}"));
            near(&out.wide("y"), &expected);
            assert_eq!(out.tensor("y").shape, [10]);
        }
        let (out, _) = run(&input, &format!("backward {line} --mode eval"));
        near(&out.wide("dx"), &[1.0 / root; 10]);
        assert_eq!(out.tensor("dx").shape, [10]);
    }
    let folder = Folder::new();
    folder.save("in.safetensors", &input);
    let line = "forward in.safetensors -o out.safetensors";
    folder.refused(line, 2, "rank 1");
}

/// Where it is not plain which layer is meant, nothing is taken without a word.
#[test]
fn layers_that_are_not_plain() {
    let folder = Folder::new();
    let line = "forward in.safetensors -o out.safetensors";
    let refused = |input: &Tensors, options: &str, needle: &str| {
        folder.save("in.safetensors", input);
        folder.refused(&format!("{line} {options}"), 2, needle);
    };
    let layer = small().under("bn1.");
    // Image constants beside a layer, and a bias beside one.
    let constants = layer
        .clone()
        .f32("mean", &[3], &[0.5; 3])
        .f32("var", &[3], &[1.0; 3]);
    refused(
        &constants,
        "--mode eval",
        r#"give one of the prefixes "", "bn1.""#,
    );
    let bias = layer.clone().f32("bias", &[3], &[1.0; 3]);
    refused(&bias, "", r#"give one of the prefixes "", "bn1.""#);
    // A scalar of a name that ONNX has is no layer's.
    let scalar = layer.clone().f32("scale", &[], &[1.0]);
    let (_, notes) = run(&scalar, "forward in.safetensors --device cpu");
    assert!(notes[0].contains("bn1."), "{notes:?}");
    // A count is every library's, and no layer by itself.
    refused(&small(), "--names keras", r#"tensors of 3 values: "bias""#);
    // The two blobs of Caffe's scale layer are no statistics.
    let scale = only_x()
        .f32("scale.0", &[3], &[1.0; 3])
        .f32("scale.1", &[3], &[0.0; 3]);
    refused(
        &scale,
        "--mode eval",
        r#"tensors of 3 values: "scale.0", "scale.1""#,
    );
    // Names of two libraries under a prefix, and a shape that is not a row.
    let mixed = layer.clone().f32("bn2.weight", &[3], &[1.0; 3]);
    refused(
        &mixed.f32("bn2.gamma", &[3], &[1.0; 3]),
        "",
        r#""bn2.gamma", "bn2.weight""#,
    );
    let column = only_x().f32("bn.weight", &[3, 1, 1], &[1.0; 3]);
    refused(&column, "", r#"tensors of 3 values: "bn.weight""#);
    // What moments do not use is named too.
    let (_, notes) = run(&small(), "moments in.safetensors --axes 0,2 --device cpu");
    assert!(notes[0].starts_with("not used: \"bias\""), "{notes:?}");
}

/// Members of an archive that are broken, or two of one name.
#[test]
fn archives_that_are_damaged() {
    let folder = Folder::new();
    let line = "forward x.npz -o out.safetensors";
    let array = |descr: &str, shape: &str, data: &[u8]| {
        npy::version_1(&npy::header(descr, false, shape), data)
    };
    let x_array = array("<f4", "(4, 3, 2)", &npy::f32_bytes(&x()));
    let gamma = array("<f4", "(3,)", &npy::f32_bytes(&[1.0; 3]));
    for (member, needle) in [
        (
            gamma[..gamma.len() - 1].to_vec(),
            "gamma.npy: not a valid .npy file: 11 bytes",
        ),
        (
            [&gamma[..], &[0]].concat(),
            "gamma.npy: not a valid .npy file: more than 12 bytes",
        ),
        (
            array("|O", "(3,)", &[0; 24]),
            "gamma.npy: the array has dtype '|O'",
        ),
        (
            array("<c8", "(3,)", &[0; 24]),
            "gamma.npy: the array has dtype '<c8'",
        ),
        (b"text".to_vec(), "gamma.npy: not a valid .npy file"),
    ] {
        let members = [("x.npy", x_array.clone()), ("gamma.npy", member)];
        folder.write("x.npz", &archive(&members, true));
        folder.refused(line, 2, needle);
    }
    // A name with and without its ending was one array twice, and a panic.
    let twice = [
        ("gamma", gamma.clone()),
        ("gamma.npy", gamma),
        ("x.npy", x_array.clone()),
    ];
    folder.write("x.npz", &archive(&twice, true));
    let value = folder.json(&format!("{line} --device cpu"));
    let said = [
        r#"not an array: "gamma""#,
        "its tensors have the names of keras",
    ];
    assert_eq!(notes(&value), said);
    let labels = [
        ("x.npy", x_array),
        ("labels.npy", array("<U1", "(1,)", &[97, 0, 0, 0])),
    ];
    folder.write("x.npz", &archive(&labels, true));
    let value = folder.json(&format!("{line} --device cpu"));
    assert_eq!(notes(&value), [r#"not an array of numbers: "labels.npy""#]);
}

/// Nothing is computed, nothing moves, and gradients of parameters are 0.
#[test]
fn empty_batch() {
    let input = Tensors::default()
        .f32("x", &[0, 3, 2], &[])
        .f32("dy", &[0, 3, 2], &[])
        .f32("weight", &[3], &[2.0, 3.0, 4.0])
        .f32("running_mean", &[3], &[0.5, 0.25, -1.0])
        .f32("running_var", &[3], &[1.0, 2.0, 3.0])
        .count(7);
    for device in DEVICES {
        for mode in ["train", "eval"] {
            let options = format!("in.safetensors --mode {mode} --device {device}");
            let (out, notes) = run(&input, &format!("forward {options}"));
            assert_eq!(out.tensor("y").shape, [0, 3, 2]);
            assert!(out.wide("y").is_empty());
            assert!(notes[0].contains("empty batch"), "{notes:?}");
            if mode == "train" {
                assert_eq!(out.wide("running_mean"), [0.5, 0.25, -1.0]);
                assert_eq!(out.wide("running_var"), [1.0, 2.0, 3.0]);
                assert_eq!(out.wide("num_batches_tracked"), [7.0]);
            }
            let (out, _) = run(&input, &format!("backward {options}"));
            assert_eq!(out.tensor("dx").shape, [0, 3, 2]);
            assert_eq!(out.wide("dweight"), [0.0; 3]);
            assert_eq!(out.wide("dbias"), [0.0; 3]);
        }
        let line = format!("moments in.safetensors --axes 0,2 --device {device}");
        let (out, _) = run(&input, &line);
        assert!(out.wide("mean").iter().all(|v| v.is_nan()));
    }
    let folder = Folder::new();
    folder.save(
        "in.safetensors",
        &Tensors::default().f32("x", &[2, 3, 0], &[]),
    );
    folder.refused("forward in.safetensors -o out.safetensors", 2, "[2, 3, 0]");
    // Found by a fuzzer: nothing vouches for so many channels.
    let many = Tensors::default().f32("x", &[0, 1 << 32, 3], &[]);
    folder.save("in.safetensors", &many);
    for device in DEVICES {
        let line = format!("forward in.safetensors -o out.safetensors --device {device}");
        folder.refused(&line, 2, "4294967296 channels");
        let line =
            format!("moments in.safetensors -o out.safetensors --axes 0,2 --device {device}");
        folder.refused(&line, 2, "at most 1048576 moments");
    }
}

/// NaN in one channel of x: `dbias` is Σdy all the same.
#[test]
fn finite_dbias() {
    let x = [0.0, 10.0, f32::NAN, 14.0, 2.0, 12.0];
    let input = Tensors::default()
        .f32("x", &[3, 2], &x)
        .f32("dy", &[3, 2], &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
        .f32("running_mean", &[2], &[1.0, 12.0])
        .f32("running_var", &[2], &[1.0; 2]);
    for device in DEVICES {
        for mode in ["train", "eval"] {
            let line = format!("backward in.safetensors --mode {mode} --device {device}");
            let (out, _) = run(&input, &line);
            assert_eq!(out.wide("dbias"), [21.0, 42.0]);
            let dweight = out.wide("dweight");
            assert!(dweight[0].is_nan() && dweight[1].is_finite());
            let lost = out.wide("dx").iter().filter(|v| v.is_nan()).count();
            assert_eq!(lost, if mode == "train" { 3 } else { 0 });
        }
    }
}

/// z of −1, 3 and 9 through relu6 and others, and back: values and slopes by hand.
#[test]
fn activations() {
    let e = std::f64::consts::E;
    let ones = [1.0; 3];
    let input = Tensors::default()
        .f32("x", &[3, 1], &[-1.0, 3.0, 9.0])
        .f32("dy", &[3, 1], &ones)
        .f32("running_mean", &[1], &[0.0])
        .f32("running_var", &[1], &[1.0]);
    let with_residual = Tensors::default()
        .f32("x", &[3, 1], &[-2.0, 1.0, 4.0])
        .f32("residual", &[3, 1], &[1.0, 2.0, 5.0])
        .f32("dy", &[3, 1], &ones)
        .f32("running_mean", &[1], &[0.0])
        .f32("running_var", &[1], &[1.0]);
    for device in DEVICES {
        for (name, y, slopes) in [
            ("relu6", [0.0, 3.0, 6.0], [0.0, 1.0, 0.0]),
            ("hard-tanh:-2,3", [-1.0, 3.0, 3.0], [1.0, 0.0, 0.0]),
            ("hard-swish", [-1.0 / 3.0, 3.0, 9.0], [1.0 / 6.0, 1.0, 1.0]),
            ("hard-sigmoid", [1.0 / 3.0, 1.0, 1.0], [1.0 / 6.0, 0.0, 0.0]),
            ("elu", [1.0 / e - 1.0, 3.0, 9.0], [1.0 / e, 1.0, 1.0]),
            ("elu:2", [2.0 / e - 2.0, 3.0, 9.0], [2.0 / e, 1.0, 1.0]),
            ("leaky-relu:0.25", [-0.25, 3.0, 9.0], [0.25, 1.0, 1.0]),
            (
                "softplus",
                [-1.0f64, 3.0, 9.0].map(|z| (1.0 + z.exp()).ln()),
                [-1.0f64, 3.0, 9.0].map(|z| 1.0 / (1.0 + (-z).exp())),
            ),
            // By PyTorch in f64.
            (
                "gelu-tanh",
                [-0.158_808_009, 2.996_362_698, 9.0],
                [-0.082_964_084, 1.011_584_229, 1.0],
            ),
        ] {
            let options = format!("--mode eval --eps 0 --activation {name} --device {device}");
            for (input, residual) in [(&input, false), (&with_residual, true)] {
                let (out, notes) = run(input, &format!("forward in.safetensors {options}"));
                near(&out.wide("y"), &y);
                assert!(
                    notes.is_empty() || !notes[0].contains("residual"),
                    "{notes:?}"
                );
                let (out, _) = run(input, &format!("backward in.safetensors {options}"));
                near(&out.wide("dx"), &slopes);
                assert_eq!(out.0.contains_key("dresidual"), residual);
                if residual {
                    near(&out.wide("dresidual"), &slopes);
                }
            }
        }
    }
    let folder = Folder::new();
    folder.save("in.safetensors", &input);
    let line = "forward in.safetensors -o out.safetensors --activation";
    folder.refused(&format!("{line} relu7"), 2, "gelu-tanh");
    folder.refused(&format!("{line} hard-tanh:2,1"), 2, "the smaller one first");
    let narrow = input.f32("residual", &[1, 3], &ones);
    folder.save("in.safetensors", &narrow);
    folder.refused(&format!("{line} relu"), 2, "residual has shape [1, 3]");
}

/// A forward pass again, with the statistics of the batch, that moves nothing.
#[test]
fn recompute() {
    let input = Tensors::default().f32("x", &[2, 1], &[0.0, 2.0]);
    for device in DEVICES {
        let line = format!("forward in.safetensors --device {device}");
        let (first, _) = run(&input, &line);
        near(&first.wide("running_mean"), &[0.1]);
        near(&first.wide("running_var"), &[1.1]);
        let again = Tensors::default()
            .f32("x", &[2, 1], &[0.0, 2.0])
            .f32("running_mean", &[1], &[0.1])
            .f32("running_var", &[1], &[1.1])
            .count(1);
        let (second, _) = run(&again, &format!("{line} --keep-running"));
        assert_eq!(second.wide("y"), first.wide("y"));
        assert_eq!(second.tensor("running_mean").f32(), [0.1]);
        assert_eq!(second.tensor("running_var").f32(), [1.1]);
        assert_eq!(second.wide("num_batches_tracked"), [1.0]);
    }
}
