//! `TuningFile::parse`: any text is a tuning file or an error, and a file survives being written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgpu_batchnorm::TuningFile;
use wgpu_batchnorm_fuzz::bounded;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    let Ok(file) = bounded(text.len(), || TuningFile::parse(text)) else {
        return;
    };
    let written = file.to_json().unwrap();
    assert_eq!(TuningFile::parse(&written), Ok(file));
});
