//! The same input on the same adapter gives the same bits, every time.

use wgpu_batchnorm::Config;
use wgpu_batchnorm::plan::Tuning;

use crate::common::case::Case;
use crate::common::data::Kind;
use crate::common::gpu::{GpuImplementation, gpu, narrow};
use crate::common::outcome::{Cpu, Implementation};

const LARGE_MEAN: Kind = Kind::Normal {
    mean: 1e4,
    std: 1.0,
};

/// Large enough that every cut splits channels among workgroups, in both patterns.
fn cases() -> Vec<Case> {
    [
        (&[2, 3, 101, 103][..], 1),
        (&[206, 101, 3], -1),
        (&[9, 70, 7, 7], 1),
        (&[441, 70], -1),
    ]
    .into_iter()
    .map(|(shape, axis)| Case::new(shape, Config::pytorch().with_axis(axis), LARGE_MEAN, 5))
    .collect()
}

#[test]
fn gpu_repeats_itself() {
    let (gpu, narrow) = (gpu(), narrow(1 << 15));
    let all = || {
        let pieces = GpuImplementation::new(&narrow, "in pieces", Tuning::CPU_ADAPTER);
        GpuImplementation::all(&gpu).into_iter().chain([pieces])
    };
    let implementations: Vec<_> = all().collect();
    let fresh: Vec<_> = all().collect();
    for case in cases() {
        for (implementation, fresh) in implementations.iter().zip(&fresh) {
            let first = implementation.run(&case);
            let what = format!("{}: {}", implementation.name(), case.name);
            // New buffers, then new pipelines as well.
            first.assert_same_bits(&implementation.run(&case), &what);
            first.assert_same_bits(&fresh.run(&case), &what);
        }
    }
}

#[test]
fn cpu_repeats_itself() {
    for case in cases() {
        let first = Cpu.run(&case);
        for _ in 0..3 {
            first.assert_same_bits(&Cpu.run(&case), &case.name);
        }
    }
}
