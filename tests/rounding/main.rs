//! Every f32 there is, rounded to f16 on the device and by the `half` crate.

use std::time::Instant;

use pollster::block_on;
use wgpu_batchnorm::internals::HalfKernel;

/// Values of a dispatch.
const CHUNK: u32 = 1 << 22;

/// Eight halves to read, so that the kernel's first lanes have something to do.
const HALVES: [u16; 8] = [0, 1, 0x3ff, 0x400, 0x7bff, 0x7c00, 0x7e00, 0x8000];

#[test]
#[ignore = "minutes: 2^32 values"]
fn every_f32_is_rounded_to_the_nearest_f16() {
    let gpu = testkit::gpu::gpu();
    if !gpu.context().f16_proved() {
        // The sweep of every pattern judges the integers of such a device.
        eprintln!("skipped: kernels round by integers on {}", gpu.info().name);
        return;
    }
    let start = Instant::now();
    let kernel = HalfKernel::new(gpu.device()).unwrap();
    for first in (0..=u32::MAX).step_by(CHUNK as usize) {
        let values: Vec<u32> = (first..=first + (CHUNK - 1)).collect();
        let made = block_on(kernel.run(gpu.device(), gpu.queue(), &HALVES, &values)).unwrap();
        assert!(made.reads_right(&HALVES));
        assert!(
            made.rounds_right(&values),
            "some of {CHUNK} from {first:#x}"
        );
        if first.is_multiple_of(1 << 28) {
            eprintln!("{first:#010x} after {:.0?}", start.elapsed());
        }
    }
    eprintln!("2^32 values in {:.0?}", start.elapsed());
}
