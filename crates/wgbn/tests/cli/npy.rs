//! NumPy files, byte by byte.

const MAGIC: &[u8] = b"\x93NUMPY";

/// Version 1: a header length of two bytes.
pub fn version_1(header: &str, data: &[u8]) -> Vec<u8> {
    let len = u16::try_from(header.len()).unwrap().to_le_bytes();
    [MAGIC, &[1, 0], &len, header.as_bytes(), data].concat()
}

/// Version 2 or 3: of four bytes.
pub fn version(major: u8, header: &str, data: &[u8]) -> Vec<u8> {
    let len = u32::try_from(header.len()).unwrap().to_le_bytes();
    [MAGIC, &[major, 0], &len, header.as_bytes(), data].concat()
}

/// The header that NumPy writes, padded so that the data begins at a multiple of 64 bytes.
pub fn header(descr: &str, fortran: bool, shape: &str) -> String {
    let fortran = if fortran { "True" } else { "False" };
    let text = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}");
    let padding = 63 - (10 + text.len()) % 64;
    format!("{text}{}\n", " ".repeat(padding))
}

pub fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

pub fn f16_bytes(values: &[f32]) -> Vec<u8> {
    let halves = values.iter().map(|&v| half::f16::from_f32(v));
    halves.flat_map(half::f16::to_le_bytes).collect()
}

/// Splits a version 1 file into dtype, shape and data.
pub fn parse(bytes: &[u8]) -> (String, Vec<usize>, Vec<u8>) {
    assert_eq!(&bytes[..6], MAGIC);
    assert_eq!(&bytes[6..8], [1, 0]);
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert_eq!(start % 64, 0, "NumPy wants aligned data");
    let header = str::from_utf8(&bytes[10..start]).unwrap();
    assert!(header.ends_with('\n'), "{header:?}");
    assert!(header.contains("'fortran_order': False"), "{header}");
    let after = |key: &str| header.split_once(key).expect(key).1.trim_start();
    let descr = after("'descr':").split('\'').nth(1).unwrap();
    let shape = after("'shape':").strip_prefix('(').unwrap();
    let shape = shape.split_once(')').unwrap().0;
    let axes = shape.split(',').map(str::trim).filter(|n| !n.is_empty());
    let shape = axes.map(|n| n.parse().unwrap()).collect();
    (descr.to_owned(), shape, bytes[start..].to_vec())
}
