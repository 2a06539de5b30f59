//! Wall-clock time of whole operations through the recording layer and on the CPU path, each
//! answer asserted. `cargo bench` measures; `cargo test --all-targets` runs each once.

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wgpu_batchnorm::{Adapter, Config, Gpu, Parameters, Tensor, TrainBuffers, View, cpu, wgpu};

const SHAPES: [(&str, [usize; 4], isize); 2] = [
    ("nchw 8x64x28x28", [8, 64, 28, 28], 1),
    ("nhwc 8x28x28x64", [8, 28, 28, 64], -1),
];

fn input(view: &View) -> Vec<f32> {
    (0..view.len())
        .map(|i| (i * 7919 % 1024) as f32 / 512.0)
        .collect()
}

/// Every channel of a normalized tensor has mean 0.
fn assert_normalized(view: &View, y: &[f32]) {
    for c in 0..view.channels {
        let sum: f64 = view
            .runs(c)
            .flat_map(|run| &y[run])
            .map(|&v| f64::from(v))
            .sum();
        assert!((sum / view.count() as f64).abs() < 1e-6, "channel {c}");
    }
}

fn train_forward_gpu(criterion: &mut Criterion) {
    let gpu = Gpu::new_blocking(&Adapter::Best).expect("an adapter");
    let mut group = criterion.benchmark_group(format!("train_forward/{}", gpu.info().name));
    for (name, shape, axis) in SHAPES {
        let plan = gpu
            .context()
            .plan(&Config::pytorch().with_axis(axis), &shape)
            .unwrap();
        let view = plan.view();
        let c = view.channels;
        let tensor = |shape: &[usize]| Tensor::empty(&gpu, shape).unwrap();
        let x = Tensor::upload(&gpu, &shape, &input(&view)).unwrap();
        let affine = [vec![1.0; c], vec![0.0; c]].concat();
        let affine = Tensor::upload(&gpu, &[2, c], &affine).unwrap();
        let (y, saved, running) = (tensor(&shape), tensor(&[5, c]), tensor(&[3, c]));
        let workspace = tensor(&[plan.workspace_bytes() as usize / 4]);
        let binding = plan.bind_train(&TrainBuffers {
            x: x.buffer().slice(..),
            y: y.buffer().slice(..),
            affine: Some(affine.buffer().slice(..)),
            running: Some(running.buffer().slice(..)),
            saved: saved.buffer().slice(..),
            workspace: workspace.buffer().slice(..),
        });
        let binding = binding.unwrap();
        group.throughput(Throughput::Bytes(3 * plan.tensor_bytes()));
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|runs| {
                let start = Instant::now();
                for _ in 0..runs {
                    let mut encoder = gpu.device().create_command_encoder(&Default::default());
                    binding.encode(&mut encoder.begin_compute_pass(&Default::default()));
                    gpu.queue().submit([encoder.finish()]);
                }
                gpu.device()
                    .poll(wgpu::PollType::wait_indefinitely())
                    .unwrap();
                start.elapsed()
            });
            assert_normalized(&view, &y.read_blocking().unwrap());
        });
    }
    group.finish();
}

fn train_forward_cpu(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("train_forward/cpu");
    for (name, shape, axis) in SHAPES {
        let view = View::new(&shape, axis).unwrap();
        let x = input(&view);
        let mut y = vec![0.0; x.len()];
        group.throughput(Throughput::Bytes(12 * x.len() as u64));
        group.bench_function(name, |bencher| {
            let parameters = Parameters::default();
            bencher
                .iter(|| cpu::train_forward(&view, black_box(&x), parameters, 1e-5, None, &mut y));
            assert_normalized(&view, &y);
        });
    }
    group.finish();
}

criterion_group!(operations, train_forward_gpu, train_forward_cpu);
criterion_main!(operations);
