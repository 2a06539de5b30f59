//! What goes into the files that `wgbn` writes, and how they come to be.

use half::{bf16, f16};
use safetensors::tensor::Dtype;

use crate::npy;
use crate::support::{DEVICES, Folder};
use crate::tensors::{LEN, SHAPE, Stored, Tensors, dy, only_x, small, x};

/// Runs on `input` and gives the output.
fn output(input: &Tensors, line: &str) -> Stored {
    let folder = Folder::new();
    folder.save("in.safetensors", input);
    folder.json(&format!("{line} -o out.safetensors"));
    folder.load("out.safetensors")
}

/// The CPU path computes halves in f32 and rounds what it stores, once. What adapters do is in
/// `halves`.
#[test]
fn half_types_are_rounded_once_on_the_cpu_path() {
    let forward = "forward in.safetensors --device cpu";
    let backward = "backward in.safetensors --device cpu";
    type Store = fn(Tensors, &str, &[usize], &[f32]) -> Tensors;
    type Round = fn(f64) -> f64;
    let kinds: [(Dtype, Store, Round); 2] = [
        (Dtype::F16, Tensors::f16, |v| f16::from_f64(v).into()),
        (Dtype::BF16, Tensors::bf16, |v| bf16::from_f64(v).into()),
    ];
    for (dtype, store, round) in kinds {
        let input = store(small(), "x", &SHAPE, &x());
        let input = store(input, "dy", &SHAPE, &dy());
        for (line, results) in [(forward, "y"), (backward, "dx")] {
            let wide = output(&small(), line);
            let narrow = output(&input, line);
            assert_eq!(narrow.tensor(results).dtype, dtype);
            assert_eq!(narrow.tensor(results).shape, SHAPE);
            for (name, tensor) in &wide.0 {
                if name == results {
                    let rounded = tensor.wide().into_iter().map(round);
                    assert_eq!(narrow.wide(name), rounded.collect::<Vec<_>>());
                } else {
                    assert_eq!(narrow.tensor(name), tensor, "{name}");
                }
            }
        }
    }
}

#[test]
fn half_parameters_are_widened() {
    let narrow = small()
        .f16("weight", &[3], &[1.5, -0.75, 0.5])
        .bf16("bias", &[3], &[0.25, 1.0, -2.0])
        .f16("running_mean", &[3], &[0.5, 1.5, 2.5])
        .bf16("running_var", &[3], &[0.75, 1.25, 0.5]);
    for mode in ["train", "eval"] {
        let line = format!("forward in.safetensors --mode {mode} --device cpu");
        assert_eq!(output(&narrow, &line), output(&small(), &line), "{mode}");
    }
}

#[test]
fn missing_parameters_mean_one_and_zero() {
    let ones = small()
        .f32("weight", &[3], &[1.0; 3])
        .f32("bias", &[3], &[0.0; 3]);
    let cases = [
        ones.clone().without("weight"),
        ones.clone().without("bias"),
        ones.clone().without("weight").without("bias"),
    ];
    for device in DEVICES {
        for line in [
            "forward in.safetensors",
            "forward in.safetensors --mode eval",
            "backward in.safetensors",
            "backward in.safetensors --mode eval",
        ] {
            let line = format!("{line} --device {device}");
            let expected = output(&ones, &line);
            for case in &cases {
                let mut got = output(case, &line);
                // What is not there is not handed on.
                let handed_on = ["weight", "bias"].map(|name| (name, expected.0.get(name)));
                for (name, tensor) in handed_on {
                    if let Some(tensor) = tensor.filter(|_| !got.0.contains_key(name)) {
                        got.0.insert(name.to_owned(), tensor.clone());
                    }
                }
                assert_eq!(got, expected, "{line}");
            }
        }
    }
}

#[test]
fn missing_statistics_start_at_zero_and_one() {
    let new = small()
        .f32("running_mean", &[3], &[0.0; 3])
        .f32("running_var", &[3], &[1.0; 3])
        .count(0);
    let missing = small()
        .without("running_mean")
        .without("running_var")
        .without("num_batches_tracked");
    let no_count = new.clone().without("num_batches_tracked");
    for device in DEVICES {
        let line = format!("forward in.safetensors --device {device}");
        let expected = output(&new, &line);
        assert_eq!(expected.wide("num_batches_tracked"), [1.0]);
        assert_eq!(output(&missing, &line), expected, "{device}");
        assert_eq!(output(&no_count, &line), expected, "{device}");
    }
    // Without any, a cumulative average takes the first batch whole.
    let line = "forward in.safetensors --device cpu --momentum cumulative";
    let first = output(&missing, line);
    assert_eq!(first.wide("running_mean"), first.wide("batch_mean"));
    assert_eq!(output(&new, line), first);
}

#[test]
fn the_largest_count_stays() {
    let last = i64::MAX as u64;
    for (count, dtype) in [
        (last - 1, Dtype::I64),
        (last, Dtype::U64),
        (last + 1, Dtype::U64),
        (u64::MAX - 1, Dtype::U64),
        (u64::MAX, Dtype::U64),
    ] {
        let bytes = count.to_le_bytes().to_vec();
        let given = small().with("num_batches_tracked", Dtype::U64, &[], bytes);
        let counted = output(&given, "forward in.safetensors --device cpu");
        let got = counted.tensor("num_batches_tracked");
        let next = count.saturating_add(1).to_le_bytes();
        assert_eq!((got.dtype, &got.bytes[..]), (dtype, &next[..]));
    }
}

#[test]
fn a_prefix_finds_the_layer() {
    let prefixed = small().under("layer1.0.bn1.");
    // Another layer, of another size; it is not looked at.
    let prefixed = prefixed.f32("weight", &[5], &[7.0; 5]);
    let prefixed = prefixed.f32("running_mean", &[5], &[7.0; 5]);
    let line = "forward in.safetensors --device cpu";
    let line_with_prefix = format!("{line} --prefix layer1.0.bn1.");
    assert_eq!(output(&prefixed, &line_with_prefix), output(&small(), line));
    let eval = format!("{line_with_prefix} --mode eval");
    let expected = output(&small(), &format!("{line} --mode eval"));
    assert_eq!(output(&prefixed, &eval), expected);
}

#[test]
fn other_tensors_are_left_alone() {
    let more = small()
        .f64("out.y", &[2], &[1.0, 2.0])
        .with("mask", Dtype::BOOL, &[3], vec![1, 0, 1])
        .with("empty", Dtype::U8, &[0], vec![]);
    let line = "forward in.safetensors --device cpu";
    assert_eq!(output(&more, line), output(&small(), line));
}

#[test]
fn numpy_files_are_read() {
    let folder = Folder::new();
    folder.save("x.safetensors", &only_x());
    folder.json("forward x.safetensors -o expected.safetensors --device cpu");
    let expected = folder.bytes("expected.safetensors");
    let header = npy::header("<f4", false, "(4, 3, 2)");
    let data = npy::f32_bytes(&x());
    // As others write it: without spaces, without the comma at the end, keys in another order.
    let terse = "{'shape':(4,3,2),'fortran_order':False,'descr':'<f4'}\n";
    for (name, bytes) in [
        ("version 1", npy::version_1(&header, &data)),
        ("version 2", npy::version(2, &header, &data)),
        ("version 3", npy::version(3, &header, &data)),
        ("terse", npy::version_1(terse, &data)),
    ] {
        folder.write("x.npy", &bytes);
        folder.json("forward x.npy -o out.safetensors --device cpu");
        assert_eq!(folder.bytes("out.safetensors"), expected, "{name}");
    }
    // Told by its first bytes as well as by its name.
    folder.write("x.dat", &npy::version_1(&header, &data));
    folder.json("forward x.dat -o out.safetensors --device cpu");
    assert_eq!(folder.bytes("out.safetensors"), expected);

    folder.json("moments x.npy -o out.safetensors --axes 0,2 --device cpu");
    folder.json("moments x.safetensors -o expected.safetensors --axes 0,2 --device cpu");
    let moments = folder.bytes("expected.safetensors");
    assert_eq!(folder.bytes("out.safetensors"), moments);
}

#[test]
fn forward_writes_numpy_files() {
    for device in DEVICES {
        let folder = Folder::new();
        folder.save("in.safetensors", &small());
        for mode in ["train", "eval"] {
            let line = format!("forward in.safetensors --device {device} --mode {mode}");
            folder.json(&format!("{line} -o out.safetensors"));
            let stored = folder.load("out.safetensors");
            for name in ["y.npy", "Y.NPY"] {
                folder.json(&format!("{line} -o {name}"));
                let (descr, shape, data) = npy::parse(&folder.bytes(name));
                assert_eq!((descr.as_str(), &shape[..]), ("<f4", &SHAPE[..]));
                assert_eq!(data, stored.tensor("y").bytes, "{device} {mode}");
            }
        }
    }
}

#[test]
fn numpy_halves_stay_halves() {
    for device in DEVICES {
        let folder = Folder::new();
        let header = npy::header("<f2", false, "(4, 3, 2)");
        folder.write("x.npy", &npy::version_1(&header, &npy::f16_bytes(&x())));
        folder.save("x.safetensors", &only_x());
        folder.json(&format!("forward x.npy -o y.npy --device {device}"));
        folder.json(&format!("forward x.npy -o y.safetensors --device {device}"));
        let (descr, shape, data) = npy::parse(&folder.bytes("y.npy"));
        assert_eq!((descr.as_str(), &shape[..]), ("<f2", &SHAPE[..]));
        let stored = folder.load("y.safetensors");
        assert_eq!(stored.tensor("y").dtype, Dtype::F16);
        assert_eq!(stored.tensor("y").bytes, data);
        if device == "cpu" {
            folder.json("forward x.safetensors -o wide.safetensors --device cpu");
            let wide = folder.load("wide.safetensors").tensor("y").f32();
            assert_eq!(data, npy::f16_bytes(&wide));
        }
    }
}

#[test]
fn a_numpy_file_of_two_axes() {
    let folder = Folder::new();
    let header = npy::header("<f4", false, "(8, 3)");
    folder.write("x.npy", &npy::version_1(&header, &npy::f32_bytes(&x())));
    folder.json("forward x.npy -o y.npy --device cpu");
    let (_, shape, data) = npy::parse(&folder.bytes("y.npy"));
    assert_eq!((&shape[..], data.len()), (&[8, 3][..], 4 * LEN));
}

#[test]
fn the_same_run_twice_gives_the_same_bytes() {
    for device in DEVICES {
        let folder = Folder::new();
        folder.save("in.safetensors", &small());
        for line in [
            "forward in.safetensors",
            "forward in.safetensors --mode eval",
            "backward in.safetensors",
            "moments in.safetensors --axes 0,2",
        ] {
            let line = format!("{line} --device {device}");
            folder.json(&format!("{line} -o a.safetensors"));
            folder.json(&format!("{line} -o b.safetensors"));
            let (a, b) = (folder.bytes("a.safetensors"), folder.bytes("b.safetensors"));
            assert!(a == b, "{line}");
        }
    }
}

#[test]
fn an_output_replaces_what_was_there() {
    let folder = Folder::new();
    folder.save("in.safetensors", &small());
    let line = "forward in.safetensors --device cpu -o";
    folder.json(&format!("{line} new.safetensors"));
    folder.write("out.safetensors", &[b'?'; 10_000]);
    folder.json(&format!("{line} out.safetensors"));
    let expected = folder.bytes("new.safetensors");
    assert_eq!(folder.bytes("out.safetensors"), expected);
    // Onto the input itself: it was read to its end before.
    folder.json(&format!("{line} in.safetensors"));
    assert_eq!(folder.bytes("in.safetensors"), expected);
    let names = ["in.safetensors", "new.safetensors", "out.safetensors"];
    assert_eq!(folder.names(), names);
}

#[test]
fn an_output_goes_into_another_folder() {
    let folder = Folder::new();
    folder.save("in.safetensors", &small());
    std::fs::create_dir(folder.path("results")).unwrap();
    folder.json("forward in.safetensors --device cpu -o results/out.safetensors");
    folder.json("forward in.safetensors --device cpu -o ./out.safetensors");
    let expected = folder.bytes("out.safetensors");
    assert_eq!(folder.bytes("results/out.safetensors"), expected);
}

#[cfg(unix)]
mod unix {
    #[cfg(target_os = "linux")]
    use std::ffi::OsStr;
    #[cfg(target_os = "linux")]
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};

    use super::*;

    // macOS takes no such names.
    #[cfg(target_os = "linux")]
    #[test]
    fn names_need_not_be_text() {
        let folder = Folder::new();
        let names = [&b"x \xff\n.safetensors"[..], b"\xfe\xf0.safetensors"].map(OsStr::from_bytes);
        std::fs::write(folder.path(names[0]), small().bytes()).unwrap();
        for more in [&["--json"][..], &[]] {
            let args = ["forward", "--device", "cpu"].iter().chain(more);
            let args = args.map(OsStr::new);
            let args: Vec<_> = args.chain([names[0], OsStr::new("-o"), names[1]]).collect();
            folder.run(&args).succeeded();
            let out = folder.path(names[1]);
            Stored::read(&std::fs::read(&out).unwrap());
            std::fs::remove_file(out).unwrap();
        }
        // A name with a line break does not break the line.
        let args = [&b"forward"[..], b"a\n\xffb", b"-o", b"out"].map(OsStr::from_bytes);
        folder.run(&args).failed(2, "cannot read");
    }

    #[test]
    fn an_output_has_the_mode_of_a_new_file() {
        let folder = Folder::new();
        let mode = |name: &str| folder.path(name).metadata().unwrap().mode();
        folder.save("in.safetensors", &small());
        folder.json("forward in.safetensors --device cpu -o out.safetensors");
        assert_eq!(mode("out.safetensors"), mode("in.safetensors"));
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = Folder::new();
        folder.save("in.safetensors", &small());
        folder.write("real.safetensors", b"old");
        let link = folder.path("link.safetensors");
        symlink("real.safetensors", &link).unwrap();
        folder.json("forward in.safetensors --device cpu -o link.safetensors");
        assert!(link.symlink_metadata().unwrap().is_symlink());
        folder.load("real.safetensors").tensor("y");
    }

    #[test]
    fn a_device_stays_a_device() {
        let folder = Folder::new();
        folder.save("in.safetensors", &small());
        folder.json("forward in.safetensors --device cpu -o /dev/null");
        let null = std::fs::metadata("/dev/null").unwrap();
        assert!(null.file_type().is_char_device());
    }
}
