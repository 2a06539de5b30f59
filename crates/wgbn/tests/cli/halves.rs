//! Files of f16 and bf16: read, computed with and written as they are stored.

use safetensors::tensor::Dtype;
use wgpu_batchnorm::{Config, Element};

use crate::goldens::{goldens, options};
use crate::npy;
use crate::support::{DEVICES, Folder};
use crate::tensors::{Stored, Tensors};
use crate::truth::{self, FORWARD_BOUND};
use testkit::case::{Case, stored};
use testkit::data::Kind;

const HALVES: [Element; 2] = [Element::F16, Element::Bf16];

/// Planar and interleaved, loads of four and of one. Where `inner` or the length is odd, two channels
/// or two workgroups share a word.
const SHAPES: [(&[usize], isize); 6] = [
    (&[4, 3, 8], 1),
    (&[3, 5, 7], 1),
    (&[2, 3, 3001], 1),
    (&[33, 8], 1),
    (&[9, 7], 1),
    (&[2, 3, 3, 5], -1),
];

fn dtype(element: Element) -> Dtype {
    match element {
        Element::F32 => Dtype::F32,
        Element::F16 => Dtype::F16,
        Element::Bf16 => Dtype::BF16,
        other => panic!("{other:?} is not tested here"),
    }
}

/// A tensor stored as `element`, which holds these values exactly.
fn add(file: Tensors, element: Element, name: &str, shape: &[usize], values: &[f32]) -> Tensors {
    match element {
        Element::F32 => file.f32(name, shape, values),
        Element::F16 => file.f16(name, shape, values),
        Element::Bf16 => file.bf16(name, shape, values),
        other => panic!("{other:?} is not tested here"),
    }
}

/// The file of a case: `x` and `dy` in halves, the rest in f32.
fn file(case: &Case, element: Element) -> Tensors {
    let mut file = add(Tensors::default(), element, "x", &case.shape, &case.x);
    file = add(file, element, "dy", &case.shape, &case.dy);
    let running = case.running.as_ref().unwrap();
    for (name, values) in [
        ("weight", case.weight.as_ref()),
        ("bias", case.bias.as_ref()),
        ("running_mean", Some(&running.mean)),
        ("running_var", Some(&running.variance)),
    ] {
        if let Some(values) = values {
            file = file.f32(name, &[case.view.channels()], values);
        }
    }
    file.count(running.batches[0].into())
}

/// What the kernels ran with, as `--json` says it.
fn ran(device: &str, element: Element) -> &'static str {
    match device {
        "cpu" => "f32",
        _ => element.name(),
    }
}

/// Runs a case forward and backward; everything is near the truth, and stored as `x` is.
fn assert_near(case: &Case, element: Element, train: bool, options: &str, device: &str) {
    let folder = Folder::new();
    folder.save("in.safetensors", &file(case, element));
    let truth = truth::of(case, train);
    for (command, result) in [("forward", "y"), ("backward", "dx")] {
        let line = format!("{command} in.safetensors -o out.safetensors {options}");
        let value = folder.json(&format!("{line} --device {device}"));
        assert_eq!(value["element"], ran(device, element), "{}", case.name);
        let findings = value["findings"].as_array().unwrap();
        assert!(
            findings.iter().any(|f| f["tensor"] == result),
            "{findings:?}"
        );
        assert!(findings.iter().all(|f| f["passed"] == true), "{findings:?}");
        let mut out = folder.load("out.safetensors");
        assert_eq!(out.tensor(result).dtype, dtype(element), "{}", case.name);
        assert_eq!(out.tensor(result).shape, case.shape);
        out.0.remove("num_batches_tracked");
        truth::assert_near(case, train, &truth, &out);
    }
}

fn every_shape(device: &str) {
    let kind = Kind::Normal {
        mean: 0.3,
        std: 1.5,
    };
    for (seed, (shape, axis)) in SHAPES.into_iter().enumerate() {
        for element in HALVES {
            let config = Config::pytorch().with_axis(axis).with_element(element);
            let case = Case::new(shape, config, kind, seed as u64);
            for (mode, train) in [("train", true), ("eval", false)] {
                let options = format!("--mode {mode} --axis {axis}");
                assert_near(&case, element, train, &options, device);
            }
        }
    }
}

#[test]
fn every_shape_on_the_cpu_path() {
    every_shape("cpu");
}

#[test]
fn every_shape_on_an_adapter() {
    every_shape("gpu");
}

/// The inputs of other frameworks' files, rounded to f16 and bf16 by turns.
#[test]
fn goldens_in_halves() {
    for (turn, golden) in goldens(&["train", "eval"]).iter().enumerate() {
        let element = HALVES[turn % 2];
        let mut case = golden.case();
        case.x = stored(element, &case.x);
        case.dy = stored(element, &case.dy);
        let train = golden.text("op") == "train";
        assert_near(&case, element, train, &options(golden), "gpu");
    }
}

#[test]
fn moments_of_halves() {
    let kind = Kind::Normal {
        mean: 10.0,
        std: 3.0,
    };
    let shape = [3, 5, 7];
    for device in DEVICES {
        for element in [Element::F32, Element::F16, Element::Bf16] {
            let case = Case::new(&shape, Config::pytorch().with_element(element), kind, 1);
            let folder = Folder::new();
            folder.save("in.safetensors", &file(&case, element));
            // Strided, whole, and last what the truth is taken for.
            for axes in ["1", "0,1,2", "0,2"] {
                let line = format!("moments in.safetensors -o out.safetensors --axes {axes}");
                let value = folder.json(&format!("{line} --device {device}"));
                assert_eq!(value["element"], ran(device, element), "{device}");
                let findings = value["findings"].as_array().unwrap();
                assert_eq!(findings.len(), 2, "{findings:?}");
                assert!(findings.iter().all(|f| f["passed"] == true), "{findings:?}");
            }
            let out = folder.load("out.safetensors");
            let truth = truth::of(&case, true);
            let largest = case.x.iter().fold(0.0, |max: f32, v| max.max(v.abs()));
            let near = |name: &str, of: &str, scale: &dyn Fn(f64) -> f64| {
                for (got, &expected) in out.wide(name).iter().zip(&truth[of]) {
                    let error = (got - expected).abs() / scale(expected);
                    assert!(
                        error <= FORWARD_BOUND,
                        "{element:?} {device} {name}: {error:e}"
                    );
                }
            };
            near("mean", "batch_mean", &|_| f64::from(largest));
            near("variance", "batch_var", &|variance| variance);
        }
    }
}

#[test]
fn the_element_is_said_of_f32_too() {
    let folder = Folder::new();
    folder.save("in.safetensors", &crate::tensors::small());
    for device in DEVICES {
        for command in ["forward", "backward"] {
            let line = format!("{command} in.safetensors -o out.safetensors");
            let value = folder.json(&format!("{line} --device {device}"));
            assert_eq!(value["element"], "f32", "{command} {device}");
        }
    }
}

/// Runs forward on a device and gives its output.
fn forward(input: &Tensors, options: &str) -> Stored {
    let folder = Folder::new();
    folder.save("in.safetensors", input);
    folder.json(&format!(
        "forward in.safetensors -o out.safetensors {options}"
    ));
    folder.load("out.safetensors")
}

/// An `.npy` file of f16 is the same tensor as a safetensors file's.
#[test]
fn numpy_halves_are_the_same_halves() {
    let folder = Folder::new();
    let case = Case::new(
        &[3, 5, 7],
        Config::pytorch().with_element(Element::F16),
        Kind::Alternating,
        3,
    );
    let header = npy::header("<f2", false, "(3, 5, 7)");
    folder.write("x.npy", &npy::version_1(&header, &npy::f16_bytes(&case.x)));
    let only_x = Tensors::default().f16("x", &case.shape, &case.x);
    for device in DEVICES {
        let value = folder.json(&format!("forward x.npy -o y.npy --device {device}"));
        assert_eq!(value["element"], ran(device, Element::F16));
        let expected = forward(&only_x, &format!("--device {device}"));
        let (descr, shape, data) = npy::parse(&folder.bytes("y.npy"));
        assert_eq!((descr.as_str(), &shape[..]), ("<f2", &case.shape[..]));
        assert_eq!(data, expected.tensor("y").bytes, "{device}");
    }
}

/// A NaN stays in its channel, though it shares words with others.
#[test]
fn a_channel_that_is_not_finite_stays_alone() {
    let shape = [3, 5, 7];
    for element in HALVES {
        let config = Config::pytorch().with_element(element);
        let mut case = Case::new(&shape, config, Kind::Alternating, 4);
        for device in DEVICES {
            let options = format!("--device {device}");
            let clean = forward(&file(&case, element), &options);
            // The last of channel 2's first run: channel 3 begins in the same word or the next.
            let (poisoned, old) = (20, case.x[20]);
            for poison in [f32::NAN, f32::INFINITY] {
                case.x[poisoned] = poison;
                let out = forward(&file(&case, element), &options);
                for i in 0..case.x.len() {
                    let bytes = |out: &Stored| out.tensor("y").bytes[2 * i..][..2].to_vec();
                    match case.view.channel_of(i) {
                        2 => {
                            assert!(out.wide("y")[i].is_nan(), "{element:?} {device} {i}");
                            // What the kernels store for NaN, in either type; the CPU path's is another.
                            let as_stored = device == "cpu" || bytes(&out) == [0xc0, 0x7f];
                            assert!(as_stored, "{element:?} {:?}", bytes(&out));
                        }
                        _ => assert_eq!(bytes(&out), bytes(&clean), "{element:?} {device} {i}"),
                    }
                }
                case.x[poisoned] = old;
            }
        }
    }
}

/// From 65,520 on f16 is infinite, and bf16 is not.
#[test]
fn f16_overflows_to_infinity() {
    for (element, infinite) in [(Element::F16, true), (Element::Bf16, false)] {
        for device in DEVICES {
            // y is ±1 over the spread, times the weight.
            let input = add(
                Tensors::default(),
                element,
                "x",
                &[4, 1],
                &[1.0, -1.0, 1.0, -1.0],
            );
            let input = input.f32("weight", &[1], &[1e5]);
            let y = forward(&input, &format!("--device {device}")).wide("y");
            for (y, sign) in y.iter().zip([1.0, -1.0, 1.0, -1.0]) {
                assert_eq!(y.is_infinite(), infinite, "{element:?} {device}");
                assert_eq!(y.signum(), sign, "{element:?} {device}");
            }
        }
    }
}
