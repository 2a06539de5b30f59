//! Files that are not what they say: each is refused in one line that names it, nothing is left
//! behind, and the next good file works.

use safetensors::tensor::Dtype;

use crate::npy;
use crate::support::Folder;
use crate::tensors::{SHAPE, Tensors, only_x, small, x};

/// `wgbn forward` of these bytes under this name is refused with `needle`.
fn refused(folder: &Folder, name: &str, bytes: &[u8], needle: &str) {
    folder.write(name, bytes);
    folder.refused(&format!("forward {name} -o out.safetensors"), 2, name);
    folder.refused(&format!("forward {name} -o out.safetensors"), 2, needle);
}

/// A good file of that name works.
fn accepted(folder: &Folder, name: &str, bytes: &[u8]) {
    folder.write(name, bytes);
    folder.json(&format!("forward {name} -o out.safetensors --device cpu"));
    std::fs::remove_file(folder.path("out.safetensors")).unwrap();
}

/// A safetensors file with this header, followed by `data` bytes of zeros.
fn safetensors(header: &str, data: usize) -> Vec<u8> {
    let len = (header.len() as u64).to_le_bytes();
    [&len, header.as_bytes(), &vec![0; data]].concat()
}

fn entry(dtype: &str, shape: &str, start: u64, end: u64) -> String {
    format!(r#"{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{start},{end}]}}"#)
}

#[test]
fn a_safetensors_file_cut_anywhere() {
    let folder = Folder::new();
    let good = Tensors::default().f32("x", &[2, 2], &x()[..4]).bytes();
    let line = "forward cut.safetensors -o out.safetensors";
    for len in 0..good.len() {
        folder.write("cut.safetensors", &good[..len]);
        folder.refused(line, 2, "cut.safetensors: not a valid safetensors file");
    }
    // Bytes too many are as wrong as bytes too few.
    let long = [&good[..], b"\0"].concat();
    refused(
        &folder,
        "cut.safetensors",
        &long,
        "not a valid safetensors file",
    );
    accepted(&folder, "cut.safetensors", &good);
}

#[test]
fn a_numpy_file_cut_anywhere() {
    let folder = Folder::new();
    let header = npy::header("<f4", false, "(2, 2)");
    let data = npy::f32_bytes(&x()[..4]);
    let line = "forward cut.npy -o out.safetensors";
    for good in [
        npy::version_1(&header, &data),
        npy::version(2, &header, &data),
    ] {
        // Within the padding there is nothing to tell apart.
        let text = header.trim_end().len();
        for len in (0..text + 16).chain(good.len() - 18..good.len()) {
            folder.write("cut.npy", &good[..len]);
            folder.refused(line, 2, "cut.npy: not a valid .npy file");
        }
        let long = [&good[..], b"\0"].concat();
        refused(
            &folder,
            "cut.npy",
            &long,
            "more than 16 bytes of data, expected 16",
        );
        accepted(&folder, "cut.npy", &good);
    }
}

#[test]
fn corrupt_safetensors_headers() {
    let folder = Folder::new();
    let one = |entry: String| format!(r#"{{"x":{entry}}}"#);
    let x = entry("F32", "[2,2]", 0, 16);
    let two = |y: String| format!(r#"{{"x":{x},"y":{y}}}"#);
    let huge = u64::MAX.to_string();
    let cases = [
        ("nothing", vec![]),
        ("zeros", vec![0; 64]),
        ("text", b"x is 1, 2, 3, 4".to_vec()),
        (
            "a header of 2^64 - 1 bytes",
            [vec![0xff; 8], vec![b' '; 32]].concat(),
        ),
        ("of 2^63", [&(1u64 << 63).to_le_bytes()[..], b"{}"].concat()),
        (
            "of 100 MB",
            [&100_000_000u64.to_le_bytes()[..], b"{}"].concat(),
        ),
        (
            "no UTF-8",
            [&4u64.to_le_bytes()[..], b"{\xff\xfe}"].concat(),
        ),
        ("no JSON", safetensors("{\"x\":", 0)),
        ("no object", safetensors("[1, 2]", 0)),
        ("nested deeply", safetensors(&"[".repeat(100_000), 0)),
        ("no entry", safetensors(r#"{"x":3}"#, 0)),
        (
            "an unknown dtype",
            safetensors(&one(entry("F31", "[2,2]", 0, 16)), 16),
        ),
        (
            "a negative axis",
            safetensors(&one(entry("F32", "[-2,-2]", 0, 16)), 16),
        ),
        (
            "a fractional axis",
            safetensors(&one(entry("F32", "[2.5,2]", 0, 16)), 16),
        ),
        (
            "offsets turned round",
            safetensors(&one(entry("F32", "[2,2]", 16, 0)), 16),
        ),
        (
            "offsets past the end",
            safetensors(&one(entry("F32", "[2,2]", 0, 16)), 12),
        ),
        (
            "offsets that do not fit the shape",
            safetensors(&one(entry("F32", "[2,3]", 0, 16)), 16),
        ),
        (
            "offsets of 2^64 - 1",
            safetensors(&one(entry("F32", "[2,2]", 0, u64::MAX)), 16),
        ),
        ("a gap", safetensors(&one(entry("F32", "[2,2]", 4, 20)), 20)),
        (
            "overlapping offsets",
            safetensors(&two(entry("F32", "[2,2]", 8, 24)), 24),
        ),
        ("the same offsets twice", safetensors(&two(x.clone()), 16)),
        (
            "a shape that overflows",
            safetensors(&one(entry("F32", &format!("[{huge},2]"), 0, 16)), 16),
        ),
        (
            "many axes that overflow",
            safetensors(
                &one(entry(
                    "F32",
                    &format!("[{}]", vec!["65536"; 40].join(",")),
                    0,
                    16,
                )),
                16,
            ),
        ),
    ];
    for (what, bytes) in cases {
        println!("{what}");
        let needle = "not a valid safetensors file";
        refused(&folder, "bad.safetensors", &bytes, needle);
        accepted(&folder, "bad.safetensors", &only_x().bytes());
    }
    // Every command reads files in the same way.
    folder.write("bad.safetensors", &[0; 64]);
    for command in ["backward", "moments --axes 0"] {
        let line = format!("{command} bad.safetensors -o out.safetensors");
        folder.refused(&line, 2, "bad.safetensors: not a valid safetensors file");
    }
}

#[test]
fn corrupt_numpy_headers() {
    let folder = Folder::new();
    let data = npy::f32_bytes(&x());
    let version_1 = |header: &str| npy::version_1(header, &data);
    let plain = |descr, shape| npy::version_1(&npy::header(descr, false, shape), &data);
    let long_header = |len: u32| {
        let text = npy::header("<f4", false, "(4, 3, 2)");
        [
            b"\x93NUMPY\x02\0",
            &len.to_le_bytes()[..],
            text.as_bytes(),
            &data,
        ]
        .concat()
    };
    let structured = "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (4, 3, 2), }";
    let nested = |open: &str, close: &str| {
        format!("{{'descr': {}{}, }}", open.repeat(200), close.repeat(200))
    };
    let cases = [
        (
            "native-endian f4",
            plain("=f4", "(4, 3, 2)"),
            "invalid type string",
        ),
        ("a long double", plain("<f16", "(4, 3, 2)"), "'<f16'"),
        ("truths", plain("|b1", "(4, 3, 2)"), "'|b1'"),
        ("complex numbers", plain("<c8", "(4, 3, 2)"), "'<c8'"),
        ("text", plain("<U1", "(4, 3, 2)"), "'<U1'"),
        ("objects", plain("|O", "(4, 3, 2)"), "'|O'"),
        (
            "an impossible dtype",
            plain("<f3", "(4, 3, 2)"),
            "invalid type string",
        ),
        ("a structured dtype", version_1(structured), "plain array"),
        (
            "version 0",
            [b"\x93NUMPY\0\0\x02\0{}", &data[..]].concat(),
            "version",
        ),
        (
            "version 9",
            npy::version(9, &npy::header("<f4", false, "(4, 3, 2)"), &data),
            "version",
        ),
        (
            "a header of 4 GB",
            long_header(u32::MAX),
            "a header of 4294967295 bytes",
        ),
        (
            "a header of 2 GB",
            long_header(1 << 31),
            "a header of 2147483648 bytes",
        ),
        ("an empty header", version_1(""), "not a valid .npy file"),
        (
            "no dictionary",
            version_1("(4, 3, 2)\n"),
            "not a valid .npy file",
        ),
        ("an empty dictionary", version_1("{}\n"), "missing key"),
        (
            "no shape",
            version_1("{'descr': '<f4', 'fortran_order': False, }\n"),
            "shape",
        ),
        (
            "a negative axis",
            plain("<f4", "(-4, 3, 2)"),
            "not a valid .npy file",
        ),
        (
            "a fractional axis",
            plain("<f4", "(4.0, 3, 2)"),
            "not a valid .npy file",
        ),
        (
            "a shape of text",
            plain("<f4", "('4', 3, 2)"),
            "not a valid .npy file",
        ),
        (
            "too few values",
            plain("<f4", "(4, 3, 3)"),
            "96 bytes of data, expected 144",
        ),
        (
            "too many",
            plain("<f4", "(4, 3, 1)"),
            "more than 48 bytes of data, expected 48",
        ),
        (
            "2^64 values",
            plain("<f4", "(4294967296, 4294967296)"),
            "overflows",
        ),
        (
            "2^62 values",
            plain("<f4", "(4611686018427387904, 2)"),
            "overflows",
        ),
        (
            "an axis beyond 64 bits",
            plain("<f4", "(99999999999999999999, 2)"),
            "overflows",
        ),
        (
            "an axis in hexadecimal",
            plain("<f4", "(0xffffffffffffffff, 2)"),
            "overflows",
        ),
        (
            "2^64 values and none",
            plain("<f4", "(0, 4294967296, 4294967296)"),
            "overflows",
        ),
        (
            "brackets in brackets",
            version_1(&nested("[", "]")),
            "plain array",
        ),
        (
            "parentheses in parentheses",
            version_1(&nested("(", ")")),
            "plain array",
        ),
        (
            "braces in braces",
            version_1(&nested("{", "}")),
            "plain array",
        ),
        (
            "no UTF-8",
            [b"\x93NUMPY\x01\0\x02\0\xff\xfe", &data[..]].concat(),
            "not a valid .npy file",
        ),
        (
            "no NumPy file at all",
            only_x().bytes(),
            "not a valid .npy file",
        ),
        ("nothing", vec![], "not a valid .npy file"),
    ];
    let good = plain("<f4", "(4, 3, 2)");
    for (what, bytes, needle) in cases {
        println!("{what}");
        refused(&folder, "bad.npy", &bytes, needle);
        accepted(&folder, "bad.npy", &good);
    }
}

/// Shapes that a file can hold and batch normalization cannot take.
#[test]
fn numpy_shapes_without_a_batch() {
    let folder = Folder::new();
    for (shape, needle) in [
        ("()", "rank 0"),
        ("(24,)", "rank 1"),
        ("(2, 0, 3)", "is empty"),
        ("(3, 0)", "is empty"),
    ] {
        let len = if shape.contains('0') { 0 } else { 24 };
        let len = if shape == "()" { 1 } else { len };
        let header = npy::header("<f4", false, shape);
        folder.write(
            "x.npy",
            &npy::version_1(&header, &npy::f32_bytes(&x()[..len])),
        );
        folder.refused("forward x.npy -o out.safetensors", 2, needle);
        folder.refused("forward x.npy -o out.safetensors", 2, "x: ");
    }
}

/// Bytes changed one at a time: done or refused, never anything else.
#[test]
fn single_bytes_changed() {
    let folder = Folder::new();
    let npy = npy::version_1(
        "{'descr':'<f4','fortran_order':False,'shape':(2,2)}\n",
        &[0; 16],
    );
    let safetensors = Tensors::default().with("x", Dtype::F32, &[2, 2], vec![0; 16]);
    let mut done = 0;
    for (name, good) in [("x.npy", npy), ("x.safetensors", safetensors.bytes())] {
        for i in 0..good.len() - 16 {
            for byte in [b'9', b'(', 0xff] {
                let mut bytes = good.clone();
                bytes[i] = byte;
                folder.write(name, &bytes);
                let line = format!("moments {name} -o out.safetensors --axes 0 --device cpu");
                let run = folder.wgbn(&line);
                match run.status {
                    0 => {
                        run.succeeded();
                        std::fs::remove_file(folder.path("out.safetensors")).unwrap();
                        done += 1;
                    }
                    _ => run.failed(2, ""),
                }
            }
        }
    }
    assert!(done < 60, "{done}");
    assert_eq!(folder.names(), ["x.npy", "x.safetensors"]);
}

/// The second file of a run does not exist: what is not a file cannot be read.
#[test]
fn no_file_at_all() {
    let folder = Folder::new();
    folder.refused(
        "forward missing.safetensors -o out.safetensors",
        2,
        "missing.safetensors",
    );
    folder.refused("forward missing.npy -o out.npy", 2, "missing.npy");
    folder.refused(
        "backward missing.safetensors -o o.safetensors",
        2,
        "cannot read",
    );
    folder.refused(
        "moments missing.safetensors --axes 0 -o o.safetensors",
        2,
        "cannot read",
    );
    std::fs::create_dir(folder.path("folder.safetensors")).unwrap();
    folder.refused(
        "forward folder.safetensors -o out.safetensors",
        2,
        "folder.safetensors",
    );
    folder.refused(
        "forward no/such/x.safetensors -o out.safetensors",
        2,
        "no/such/x",
    );
    let shape = SHAPE.map(|n| n.to_string()).join("×");
    folder.save("in.safetensors", &small());
    let run = folder.wgbn("forward in.safetensors -o out.safetensors --device cpu");
    assert!(run.succeeded().contains(&shape));
}
