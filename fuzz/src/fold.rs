//! `wgbn fold`: any bytes are a checkpoint without its norms or an error, and what is written can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgbn::args::FoldArgs;
use wgbn::fold::fold_all;
use wgbn::input::parse;
use wgpu_batchnorm_fuzz::safetensors;

fuzz_target!(|input: &[u8]| {
    // Flags, groups, then the file, whole or in parts.
    let [flags, groups, body @ ..] = input else {
        return;
    };
    let set = |bit: u8| flags & (1 << bit) != 0;
    let file = match set(0) {
        true => body.to_vec(),
        false => safetensors(body),
    };
    let args = FoldArgs {
        input: "in.safetensors".into(),
        output: "out.safetensors".into(),
        pair: match set(1) {
            true => vec!["conv=bn".to_owned(), "conv1=bn1".to_owned()],
            false => vec![],
        },
        transposed: set(2),
        groups: usize::from(*groups),
        out_axis: set(3).then_some(-1),
        next: set(4),
        unpadded: set(5),
        eps: if set(6) { 0.0 } else { 1e-5 },
        json: false,
    };
    if let Ok(folded) = fold_all(&args, &file) {
        let (before, after) = (parse(&file).unwrap(), parse(&folded.bytes).unwrap());
        // Norms are gone, and biases may have come.
        assert!(after.len() <= before.len());
    }
});
