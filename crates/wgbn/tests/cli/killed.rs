//! A process that is killed while it writes a checkpoint: the old file or the new one is there, whole.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use safetensors::tensor::{Dtype, TensorView, serialize};
use wgpu_batchnorm::{BatchNorm, Config};

use testkit::data::Random;
use testkit::gpu::own_gpu;

/// 4 MB, so that writing takes a while.
const SHAPE: [usize; 2] = [1 << 14, 64];
const KILLS: usize = 60;
const OUTPUT: &str = "checkpoint.safetensors";

/// A training step by `wgbn`, whose output holds the state after it.
fn step(folder: &Path, input: &str, output: &str) -> Command {
    let mut wgbn = Command::new(env!("CARGO_BIN_EXE_wgbn"));
    let line = [
        "forward",
        input,
        "--axis",
        "1",
        "--device",
        "cpu",
        "--no-check",
        "-o",
        output,
    ];
    wgbn.args(line).current_dir(folder);
    wgbn.stdout(Stdio::null()).stderr(Stdio::null());
    wgbn
}

fn input(folder: &Path, name: &str, seed: u64) {
    let bytes: Vec<u8> = Random::new(seed)
        .normals(SHAPE.iter().product(), 0.3, 1.5)
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    let one = vec![1.0f32; 64]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect::<Vec<u8>>();
    let row = |values| TensorView::new(Dtype::F32, vec![64], values).unwrap();
    let tensors = [
        (
            "x",
            TensorView::new(Dtype::F32, SHAPE.to_vec(), &bytes).unwrap(),
        ),
        ("running_mean", row(&one)),
        ("running_var", row(&one)),
    ];
    std::fs::write(folder.join(name), serialize(tensors, None).unwrap()).unwrap();
}

/// Temporary files, which a process that is killed cannot take along.
fn temporary(folder: &Path) -> usize {
    let names = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name());
    names
        .filter(|name| name.to_string_lossy().starts_with(".wgbn-"))
        .count()
}

#[test]
fn killed_while_saving() {
    let gpu = own_gpu();
    let dir = tempfile::TempDir::new().unwrap();
    let folder = dir.path();
    let inputs = ["a.safetensors", "b.safetensors"];
    let wholes = [0, 1].map(|k| {
        input(folder, inputs[k], k as u64 + 1);
        assert!(step(folder, inputs[k], OUTPUT).status().unwrap().success());
        std::fs::read(folder.join(OUTPUT)).unwrap()
    });
    assert!(wholes[0] != wholes[1]);
    // Killed at once, and ever later, while it writes.
    let (mut killed, mut old, mut new) = (0, 0, 0);
    let mut there = 1;
    for k in 0..KILLS {
        let left_behind = temporary(folder);
        let next = 1 - there;
        let mut child = step(folder, inputs[next], OUTPUT).spawn().unwrap();
        while temporary(folder) == left_behind && child.try_wait().unwrap().is_none() {}
        std::thread::sleep(Duration::from_micros((k as u64 % 20).pow(2) * 50));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        killed += usize::from(status.signal() == Some(9));
        let found = std::fs::read(folder.join(OUTPUT)).unwrap();
        match wholes.iter().position(|whole| *whole == found) {
            Some(k) if k == next => new += 1,
            Some(_) => old += 1,
            None => panic!("half a file of {} bytes after kill {k}", found.len()),
        }
        there = wholes.iter().position(|whole| *whole == found).unwrap();
        let config = Config::pytorch()
            .with_affine(wgpu_batchnorm::Affine::None)
            .with_axis(1);
        let layer = BatchNorm::from_safetensors(&gpu, 64, config, &found, "").unwrap();
        assert_eq!(layer.num_batches_tracked(), 1);
    }
    println!(
        "{killed} of {KILLS} were killed; {old} times the old file was there, {new} times the new \
         one; {} temporary files were left behind",
        temporary(folder)
    );
    assert!(
        killed >= KILLS / 4,
        "{killed} of {KILLS} were killed in time"
    );
    assert!(old > 0);
    // What is left behind is in nobody's way.
    let next = 1 - there;
    assert!(
        step(folder, inputs[next], OUTPUT)
            .status()
            .unwrap()
            .success()
    );
    assert!(std::fs::read(folder.join(OUTPUT)).unwrap() == wholes[next]);
}
