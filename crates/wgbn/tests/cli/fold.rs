//! `wgbn fold`: whole checkpoints, by name and by guess, and what stays as it is.

use std::collections::{BTreeMap, HashMap};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use testkit::data::Random;

use crate::support::Folder;
use crate::tensors::{Stored, Tensors};

const LINE: &str = "fold in.safetensors -o out.safetensors";

fn fold(input: &Tensors, options: &str) -> (Stored, serde_json::Value) {
    let folder = Folder::new();
    folder.save("in.safetensors", input);
    let run = folder.wgbn(&format!("{LINE} {options} --json"));
    let value = serde_json::from_str(run.succeeded()).unwrap();
    (folder.load("out.safetensors"), value)
}

fn refused(input: &Tensors, options: &str, needle: &str) {
    let folder = Folder::new();
    folder.save("in.safetensors", input);
    folder.refused(&format!("{LINE} {options}"), 2, needle);
}

/// A norm of these γ that does nothing else, with eps 0.
fn norm(input: Tensors, name: &str, gamma: &[f32]) -> Tensors {
    let c = gamma.len();
    input
        .f32(&format!("{name}.weight"), &[c], gamma)
        .f32(&format!("{name}.bias"), &[c], &vec![0.0; c])
        .f32(&format!("{name}.running_mean"), &[c], &vec![0.0; c])
        .f32(&format!("{name}.running_var"), &[c], &vec![1.0; c])
}

fn conv(input: Tensors, name: &str, shape: &[usize]) -> Tensors {
    let values: Vec<f32> = (1..=shape.iter().product())
        .map(|i: usize| i as f32)
        .collect();
    input.f32(&format!("{name}.weight"), shape, &values)
}

/// A transposed convolution has its outputs on the second axis; groups share out its inputs.
#[test]
fn deconvolution() {
    let input = norm(
        conv(Tensors::default(), "up", &[4, 2, 1, 1]),
        "bn",
        &[2.0, 10.0],
    );
    let (out, _) = fold(&input, "--pair up=bn --transposed --eps 0");
    assert_eq!(
        out.wide("up.weight"),
        [2.0, 20.0, 6.0, 40.0, 10.0, 60.0, 14.0, 80.0]
    );
    assert_eq!(out.wide("up.bias"), [0.0, 0.0]);
    refused(
        &input,
        "--pair up=bn",
        "has 4 output channels, the batch norm has 2",
    );
    let gamma = [1.0, 10.0, 100.0, 1000.0];
    let ones = Tensors::default().f32("up.weight", &[4, 2], &[1.0; 8]);
    let (out, _) = fold(
        &norm(ones, "bn", &gamma),
        "--pair up=bn --transposed --groups 2 --eps 0",
    );
    assert_eq!(
        out.wide("up.weight"),
        [1.0, 10.0, 1.0, 10.0, 100.0, 1000.0, 100.0, 1000.0]
    );
    // As many outputs as inputs: the shape does not tell, the name does.
    let square = norm(
        conv(Tensors::default(), "deconv.0", &[2, 2, 1, 1]),
        "deconv.1",
        &[2.0, 10.0],
    );
    refused(&square, "", "deconv.0 may be a transposed convolution");
    // Keras has the outputs last.
    let keras = norm(
        conv(Tensors::default(), "conv", &[1, 2, 2]),
        "bn",
        &[2.0, 10.0],
    );
    let (out, _) = fold(&keras, "--out-axis -1 --eps 0");
    assert_eq!(out.wide("conv.weight"), [2.0, 20.0, 6.0, 40.0]);
}

/// Into the layer behind, where its border sees the shift.
#[test]
fn fold_forward() {
    let input = Tensors::default()
        .f32("0.weight", &[2], &[2.0, 10.0])
        .f32("0.bias", &[2], &[1.0, -1.0])
        .f32("0.running_mean", &[2], &[0.0; 2])
        .f32("0.running_var", &[2], &[1.0; 2]);
    let linear = input.clone().f32("1.weight", &[1, 2], &[1.0, 2.0]);
    let linear = linear.f32("1.bias", &[1], &[0.5]);
    let (out, _) = fold(&linear, "--next --eps 0");
    assert_eq!(out.wide("1.weight"), [2.0, 20.0]);
    assert_eq!(out.wide("1.bias"), [-0.5]);
    assert_eq!(out.0.len(), 2);
    let wide = input.f32("1.weight", &[1, 2, 3], &[1.0; 6]);
    refused(
        &wide,
        "--next --eps 0",
        "a padded layer does not see at its border",
    );
    let (out, _) = fold(&wide, "--next --unpadded --eps 0");
    // 3·1 − 3·1.
    assert_eq!(out.wide("1.bias"), [0.0]);
    // Without a shift there is nothing to see.
    let unshifted = norm(Tensors::default(), "0", &[2.0, 10.0]);
    let unshifted = unshifted.f32("1.weight", &[1, 2, 3], &[1.0; 6]);
    let (out, _) = fold(&unshifted, "--next --eps 0");
    assert_eq!(out.wide("1.weight"), [2.0, 2.0, 2.0, 10.0, 10.0, 10.0]);
}

/// Weights keep their type, and a value that it does not hold is no infinity.
#[test]
fn weights_of_each_type() {
    let base = norm(Tensors::default(), "bn1", &[2.0, 10.0]);
    let values = [1.0, 2.0, 3.0, 4.0];
    let scaled = [2.0, 4.0, 30.0, 40.0];
    let narrow = base.clone().f16("conv1.weight", &[2, 2], &values);
    for (input, dtype) in [
        (narrow.clone(), Dtype::F16),
        (
            base.clone().bf16("conv1.weight", &[2, 2], &values),
            Dtype::BF16,
        ),
        (
            base.clone().f32("conv1.weight", &[2, 2], &values),
            Dtype::F32,
        ),
    ] {
        let (out, _) = fold(&input, "--eps 0");
        assert_eq!(out.wide("conv1.weight"), scaled);
        assert_eq!(out.tensor("conv1.weight").dtype, dtype);
        assert_eq!(out.tensor("conv1.bias").dtype, dtype);
    }
    let wide = base
        .clone()
        .f64("conv1.weight", &[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let (out, _) = fold(&wide, "--eps 0");
    assert_eq!(out.tensor("conv1.weight").dtype, Dtype::F64);
    let ints = base.with("conv1.weight", Dtype::I8, &[2, 2], vec![1; 4]);
    refused(
        &ints,
        "--eps 0",
        "its weight is I8, expected F64, F32, F16 or BF16",
    );
    let large = norm(narrow.clone(), "bn1", &[2.0, 1e6]);
    refused(&large, "--eps 0", "value 2 of the folded weight is 3e6");
    let mixed = narrow.f32("conv1.bias", &[2], &[1.0; 2]);
    refused(&mixed, "--eps 0", "its weight is F16 and its bias F32");
}

#[test]
fn what_the_file_shows_to_be_wrong() {
    let two = conv(Tensors::default(), "a", &[2, 3]);
    let two = norm(conv(two, "b", &[2, 3]), "n", &[2.0, 3.0]);
    refused(
        &two,
        "--pair a=n --pair b=n",
        "norm \"n\" is named twice; two layers share it",
    );
    let two_norms = norm(
        norm(conv(Tensors::default(), "a", &[2, 3]), "n", &[2.0; 2]),
        "m",
        &[2.0; 2],
    );
    refused(
        &two_norms,
        "--pair a=n --pair a=m",
        "layer \"a\" is named twice; two batch norms take its output",
    );
    let apart = conv(conv(Tensors::default(), "f.0", &[2, 3]), "f.1", &[2, 2]);
    let apart = norm(apart, "f.2", &[2.0, 3.0]);
    refused(&apart, "--pair f.0=f.2", "f.1 stands between them");
    let (out, _) = fold(&apart, "--eps 0");
    assert_eq!(out.wide("f.1.weight"), [2.0, 4.0, 9.0, 12.0]);
    assert_eq!(out.wide("f.0.weight"), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    refused(&two, "--pair c=n", "there is no tensor \"c.weight\"");
    refused(&two, "--pair a=c", "there is no tensor \"c.running_mean\"");
    refused(&two, "--pair a", "expected LAYER=NORM");
    refused(&two, "", "n: its name tells no layer");
    refused(&two, "--out-axis 2", "--out-axis");
    refused(
        &conv(Tensors::default(), "a", &[2, 3]),
        "",
        "it has no batch norm",
    );
    // Norms that come first: one has the channels of its layer's inputs alone.
    let first = norm(
        conv(Tensors::default(), "l.0.conv1", &[4, 2]),
        "l.0.bn1",
        &[2.0; 2],
    );
    let first = norm(conv(first, "l.1.conv1", &[4, 4]), "l.1.bn1", &[2.0; 4]);
    refused(&first, "", "l.0.bn1 has the channels of its layer's inputs");
    // A whole checkpoint in parts.
    let folder = Folder::new();
    for name in [
        "model-00001-of-00002.safetensors",
        "MODEL_00001-of-00002-fp16.SAFETENSORS",
        "model.safetensors.index.json",
    ] {
        folder.save(name, &two);
        let line = format!("fold {name} -o out.safetensors --pair a=n");
        folder.refused(&line, 2, "one of several files of a checkpoint");
    }
    folder.save("in.safetensors", &two);
    folder.refused("fold in.safetensors -o out.npy --pair a=n", 2, "out.npy");
    folder.refused(
        "fold no.safetensors -o out.safetensors",
        2,
        "no.safetensors",
    );
    folder.write("bad.safetensors", &[0; 64]);
    folder.refused(
        "fold bad.safetensors -o o.safetensors",
        2,
        "bad.safetensors: not a valid",
    );
    let negative = two.f32("n.running_var", &[2], &[1.0, -1.0]);
    refused(&negative, "--pair a=n", "holds -1.0 in channel 1");
}

/// What the file shows somewhere holds for all of it: norms that come first, and transposed convolutions.
#[test]
fn what_one_norm_shows_holds_for_all() {
    // The second norm of a block and its layer would fit.
    let first = norm(
        conv(Tensors::default(), "0.conv1", &[4, 2]),
        "0.bn1",
        &[2.0; 2],
    );
    let first = norm(conv(first, "0.conv2", &[4, 4]), "0.bn2", &[2.0; 4]);
    refused(
        &first,
        "",
        "0.bn2: 0.bn1 has the channels of its layer's inputs",
    );
    let transposed = norm(
        conv(Tensors::default(), "m.0", &[6, 4, 1]),
        "m.1",
        &[2.0; 4],
    );
    let transposed = norm(conv(transposed, "m.2", &[4, 4, 1]), "m.3", &[2.0; 4]);
    refused(
        &transposed,
        "",
        "m.3: m.1 has the channels of its layer's inputs",
    );
    let (out, _) = fold(
        &transposed,
        "--pair m.2=m.3 --pair m.0=m.1 --transposed --eps 0",
    );
    assert_eq!(out.wide("m.2.weight")[..2], [2.0, 4.0]);
    refused(&transposed, "--transposed", "--pair");
}

/// Norms and layers that have more to them than this program knows.
#[test]
fn more_than_a_norm_and_a_layer() {
    let plain = norm(
        conv(Tensors::default(), "conv1", &[2, 3]),
        "bn1",
        &[2.0, 3.0],
    );
    for tensor in [
        "bn1.act.weight",
        "bn1.running_std",
        "conv1.gain",
        "conv1.lora.a",
    ] {
        let more = plain.clone().f32(tensor, &[2], &[1.0; 2]);
        refused(&more, "", &format!("there is \"{tensor}\" too"));
        refused(
            &more,
            "--pair conv1=bn1",
            &format!("there is \"{tensor}\" too"),
        );
    }
    let inside = norm(
        conv(Tensors::default(), "bn.conv", &[2, 3]),
        "bn",
        &[2.0, 3.0],
    );
    refused(
        &inside,
        "--pair bn.conv=bn",
        "there is \"bn.conv.weight\" too",
    );
    let wide = plain.clone().f32("conv1.bias", &[1, 2], &[1.0; 2]);
    refused(&wide, "", "its bias has shape [1, 2]");
    let nan = plain.f32("conv1.weight", &[2, 1], &[1.0, f32::NAN]);
    refused(&nan, "", "its weight or bias is not finite");
}

/// Numbers that are names, an order that the numbers contradict, and numbers so large that nobody counts to them.
#[test]
fn numbered_layers() {
    let two = norm(conv(Tensors::default(), "f.0", &[2, 3]), "f.1", &[2.0, 3.0]);
    let more = norm(norm(two.clone(), "f.01", &[5.0; 2]), "f.+1", &[5.0; 2]);
    let (out, value) = fold(&more, "--eps 0");
    assert_eq!(out.wide("f.0.weight"), [2.0, 4.0, 6.0, 12.0, 15.0, 18.0]);
    assert_eq!(value["left"].as_array().unwrap().len(), 2);
    let back = norm(conv(Tensors::default(), "f.1", &[2, 3]), "f.0", &[2.0, 3.0]);
    refused(&back, "--pair f.1=f.0", "comes before the layer");
    refused(&two, "--next --pair f.0=f.1", "comes behind the layer");
    let far = norm(two.clone(), "f.3000000000000", &[2.0; 2]);
    refused(
        &far,
        "--pair f.0=f.3000000000000",
        "f.1 stands between them",
    );
    let last = norm(
        conv(Tensors::default(), "f.0", &[2, 3]),
        "f.18446744073709551615",
        &[2.0; 3],
    );
    refused(&last, "--next", "its name tells no layer");
}

/// Every other tensor, its place and type and the metadata are as they were.
#[test]
fn the_rest_of_the_file_is_kept() {
    let folder = Folder::new();
    let ones = [0u8, 0, 128, 63].repeat(4);
    let half = [0u8; 6];
    let one = |name: &str, dtype, shape: &[usize], bytes: &'static [u8]| {
        (name.to_owned(), dtype, shape.to_vec(), bytes)
    };
    let ones: &'static [u8] = Box::leak(ones.into_boxed_slice());
    let half: &'static [u8] = Box::leak(Box::new(half));
    let count: &'static [u8] = &[3, 0, 0, 0, 0, 0, 0, 0];
    let tensors = [
        one("z.table", Dtype::F32, &[2, 2], ones),
        one("bn1.running_var", Dtype::F32, &[2], &ones[..8]),
        one("conv1.weight", Dtype::F32, &[2, 2], ones),
        one("a.mask", Dtype::BOOL, &[3], &[1, 0, 1]),
        one("bn1.running_mean", Dtype::F32, &[2], &ones[..8]),
        one("bn1.num_batches_tracked", Dtype::I64, &[], count),
        one("q\"uote", Dtype::BF16, &[3], half),
    ];
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = safetensors::serialize(views, Some(metadata)).unwrap();
    folder.write("in.safetensors", &bytes);
    folder.wgbn(LINE).succeeded();
    let order = |bytes: &[u8]| {
        let (_, header) = SafeTensors::read_metadata(bytes).unwrap();
        (header.offset_keys(), header.metadata().clone())
    };
    let written = folder.bytes("out.safetensors");
    let (mut before, format) = order(&bytes);
    before.retain(|name| !name.starts_with("bn1."));
    // A bias that was missing is at the end, where it moves nothing.
    before.push("conv1.bias".to_owned());
    assert_eq!(order(&written), (before, format));
    let file = SafeTensors::deserialize(&written).unwrap();
    for (name, dtype, shape, bytes) in tensors {
        if !name.starts_with("bn1.") && name != "conv1.weight" {
            let kept = file.tensor(&name).unwrap();
            assert_eq!(
                (kept.dtype(), kept.shape(), kept.data()),
                (dtype, &shape[..], bytes)
            );
        }
    }
}

/// Tensors of a network, widened.
type Net = BTreeMap<String, (Vec<usize>, Vec<f64>)>;

/// An image of channels, its sides as long as each other.
struct Image {
    channels: usize,
    side: usize,
    values: Vec<f64>,
}

/// A convolution of PyTorch's, and its batch norm where there still is one.
fn conv_norm(net: &Net, conv: &str, norm: &str, x: &Image, stride: usize) -> Image {
    let (shape, weight) = &net[&format!("{conv}.weight")];
    let [outputs, inputs, taps, _] = shape[..] else {
        panic!("{shape:?}");
    };
    assert_eq!(inputs, x.channels);
    let padding = taps / 2;
    let side = (x.side + 2 * padding - taps) / stride + 1;
    let bias = net.get(&format!("{conv}.bias")).map(|(_, bias)| bias);
    let mut values = Vec::new();
    for o in 0..outputs {
        for (row, column) in (0..side * side).map(|k| (k / side, k % side)) {
            let mut sum = bias.map_or(0.0, |bias| bias[o]);
            for (i, (a, b)) in
                (0..inputs).flat_map(|i| (0..taps * taps).map(move |t| (i, (t / taps, t % taps))))
            {
                let (r, c) = (row * stride + a, column * stride + b);
                let inside = |at: usize| at >= padding && at < x.side + padding;
                if inside(r) && inside(c) {
                    let from = (i * x.side + r - padding) * x.side + c - padding;
                    sum += weight[((o * inputs + i) * taps + a) * taps + b] * x.values[from];
                }
            }
            values.push(sum);
        }
    }
    if net.contains_key(&format!("{norm}.running_mean")) {
        let row = |name: &str| &net[&format!("{norm}.{name}")].1;
        let (mean, variance) = (row("running_mean"), row("running_var"));
        let (gamma, beta) = (row("weight"), row("bias"));
        for (k, v) in values.iter_mut().enumerate() {
            let c = k / (side * side);
            *v = (*v - mean[c]) / (variance[c] + f64::from(1e-5f32)).sqrt() * gamma[c] + beta[c];
        }
    }
    Image {
        channels: outputs,
        side,
        values,
    }
}

fn relu(mut x: Image) -> Image {
    x.values.iter_mut().for_each(|v| *v = v.max(0.0));
    x
}

const BLOCKS: [usize; 4] = [3, 4, 6, 3];

/// ResNet-50 without its first pooling.
fn resnet(net: &Net, x: &Image) -> Vec<f64> {
    let mut x = relu(conv_norm(net, "conv1", "bn1", x, 2));
    for (stage, blocks) in BLOCKS.into_iter().enumerate() {
        for block in 0..blocks {
            let name = format!("layer{}.{block}", stage + 1);
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let step = |n: usize, x: &Image, stride| {
                conv_norm(
                    net,
                    &format!("{name}.conv{n}"),
                    &format!("{name}.bn{n}"),
                    x,
                    stride,
                )
            };
            let y = relu(step(1, &x, 1));
            let y = relu(step(2, &y, stride));
            let mut y = step(3, &y, 1);
            let beside = match block {
                0 => conv_norm(
                    net,
                    &format!("{name}.downsample.0"),
                    &format!("{name}.downsample.1"),
                    &x,
                    stride,
                ),
                _ => x,
            };
            y.values
                .iter_mut()
                .zip(&beside.values)
                .for_each(|(y, x)| *y += x);
            x = relu(y);
        }
    }
    let pixels = x.side * x.side;
    let pooled: Vec<f64> = x
        .values
        .chunks(pixels)
        .map(|c| c.iter().sum::<f64>() / pixels as f64)
        .collect();
    let (shape, weight) = &net["fc.weight"];
    let bias = &net["fc.bias"].1;
    let rows = weight.chunks(shape[1]).zip(bias);
    rows.map(|(row, bias)| row.iter().zip(&pooled).map(|(w, x)| w * x).sum::<f64>() + bias)
        .collect()
}

/// A ResNet-50 of random weights under PyTorch's names.
fn checkpoint() -> Tensors {
    let mut random = Random::new(50);
    let mut tensors = Tensors::default();
    let mut layer = |tensors: Tensors, conv: &str, norm: &str, [o, i, taps]: [usize; 3]| {
        let len = o * i * taps * taps;
        let std = (2.0 / (i * taps * taps) as f64).sqrt();
        let mut row = |mean, std| random.normals(o, mean, std);
        let (gamma, beta, mean) = (row(1.0, 0.2), row(0.0, 0.3), row(0.0, 0.3));
        let variance: Vec<f32> = row(0.0, 1.0).iter().map(|v| 0.5 + v.abs()).collect();
        tensors
            .f32(
                &format!("{conv}.weight"),
                &[o, i, taps, taps],
                &random.normals(len, 0.0, std),
            )
            .f32(&format!("{norm}.weight"), &[o], &gamma)
            .f32(&format!("{norm}.bias"), &[o], &beta)
            .f32(&format!("{norm}.running_mean"), &[o], &mean)
            .f32(&format!("{norm}.running_var"), &[o], &variance)
            .with(
                &format!("{norm}.num_batches_tracked"),
                Dtype::I64,
                &[],
                vec![0; 8],
            )
    };
    tensors = layer(tensors, "conv1", "bn1", [64, 3, 7]);
    let mut inputs = 64;
    for (stage, blocks) in BLOCKS.into_iter().enumerate() {
        let planes = 64 << stage;
        for block in 0..blocks {
            let name = format!("layer{}.{block}", stage + 1);
            for (n, shape) in [
                [planes, inputs, 1],
                [planes, planes, 3],
                [4 * planes, planes, 1],
            ]
            .into_iter()
            .enumerate()
            {
                let names = ["conv", "bn"].map(|kind| format!("{name}.{kind}{}", n + 1));
                tensors = layer(tensors, &names[0], &names[1], shape);
            }
            if block == 0 {
                let names = [0, 1].map(|n| format!("{name}.downsample.{n}"));
                tensors = layer(tensors, &names[0], &names[1], [4 * planes, inputs, 1]);
            }
            inputs = 4 * planes;
        }
    }
    let fc = random.normals(1000 * inputs, 0.0, 0.1);
    tensors.f32("fc.weight", &[1000, inputs], &fc).f32(
        "fc.bias",
        &[1000],
        &random.normals(1000, 0.0, 0.1),
    )
}

fn net(file: &Stored) -> Net {
    let tensors = file.0.iter();
    let floats = tensors.filter(|(_, tensor)| tensor.dtype == Dtype::F32);
    floats
        .map(|(name, tensor)| (name.clone(), (tensor.shape.clone(), tensor.wide())))
        .collect()
}

#[test]
fn a_whole_resnet_50() {
    let input = checkpoint();
    let (out, value) = fold(&input, "");
    // 1 + 3·16 norms behind convolutions, and 4 beside.
    assert_eq!(value["folded"].as_array().unwrap().len(), 53);
    assert_eq!(value["left"].as_array().unwrap().len(), 0);
    assert!(
        out.0
            .keys()
            .all(|name| !name.contains("bn") && !name.contains("running"))
    );
    // Each weight, a bias for each, and the classifier.
    assert_eq!(out.0.len(), 2 * 53 + 2);
    let side = 16;
    let image = Image {
        channels: 3,
        side,
        values: Random::new(51)
            .normals(3 * side * side, 0.0, 1.0)
            .into_iter()
            .map(f64::from)
            .collect(),
    };
    let before = resnet(&net(&Stored::read(&input.bytes())), &image);
    let after = resnet(&net(&out), &image);
    let largest = before.iter().fold(0.0, |max: f64, v| max.max(v.abs()));
    assert!(largest > 1.0, "{before:?}");
    for (before, after) in before.iter().zip(&after) {
        assert!((before - after).abs() < 1e-5 * largest, "{before} {after}");
    }
}
