//! No memory for a buffer that is within the device's limits.

use std::process::Command;

use wgpu_batchnorm::checked::Checked;
use wgpu_batchnorm::error::RunError;
use wgpu_batchnorm::{BatchNorm, Config, Error, Mode, Tensor, wgpu};

use crate::support::{SHAPE, assert_works, upload};
use testkit::gpu::own_gpu;
use testkit::log::skipped;

/// Set in the process that has little memory.
const INSIDE: &str = "WGBN_TEST_LITTLE_MEMORY";

/// 1 GiB.
const HUGE: [usize; 3] = [1 << 14, 4, 1 << 12];

/// A software adapter takes memory from its process, whose address space the shell limits to 8 GiB;
/// macOS knows no such limit, and GPUs have memory of their own.
#[test]
fn no_room_for_a_tensor() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    if !cfg!(target_os = "linux") || own_gpu().info().device_type != wgpu::DeviceType::Cpu {
        skipped("no software adapter on Linux");
        return;
    }
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -v 8388608; exec \"$0\" \"$@\""]);
    limited.arg(std::env::current_exe().unwrap());
    limited.args(["memory::no_room_for_a_tensor", "--exact", "--nocapture"]);
    let output = limited.env(INSIDE, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    assert!(text.contains("ran out after"), "{text}{errors}");
}

fn inside() {
    let gpu = own_gpu();
    let mut layer = BatchNorm::new(&gpu, 4, Config::pytorch()).unwrap();
    let mut tensors = Vec::new();
    let error = loop {
        match Tensor::empty(&gpu, &HUGE) {
            Ok(tensor) => tensors.push(tensor),
            Err(error) => break error,
        }
        assert!(tensors.len() < 8, "8 GiB were to be had");
    };
    assert_out_of_memory(error);
    println!("ran out after {} GiB", tensors.len());
    // No room for y: nothing has moved, and the layer goes on.
    let before = layer.state_blocking().unwrap();
    for _ in 0..2 {
        let refused = layer.forward(&tensors[0], Mode::Train);
        assert_out_of_memory(refused.unwrap_err());
    }
    assert_eq!(layer.state_blocking().unwrap(), before);
    let mut layer = Checked::new(layer);
    let x = upload(&gpu, &[8, 4, 5], 1);
    layer.forward_blocking(&x, Mode::Train).unwrap();
    assert_eq!(layer.layer().num_batches_tracked(), 1);
    // No room to read it back to either.
    assert_out_of_memory(tensors[0].read_blocking().unwrap_err().into());
    assert_works(&gpu);
    // And room again, once it was given back.
    let len = tensors.len();
    drop(tensors);
    let wait = wgpu::PollType::wait_indefinitely();
    gpu.device().poll(wait).unwrap();
    let tensors: Vec<_> = (0..len).map(|_| Tensor::empty(&gpu, &HUGE)).collect();
    assert!(tensors.iter().all(Result::is_ok));
    assert_eq!(upload(&gpu, &SHAPE, 1).read_blocking().unwrap().len(), 60);
}

fn assert_out_of_memory(error: Error) {
    match error {
        Error::Run(RunError::OutOfMemory { reason }) => {
            assert!(reason.contains("1073741824 bytes"), "{reason}");
        }
        other => panic!("expected lack of memory, got {other:?}"),
    }
}
