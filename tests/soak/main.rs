//! Training for long: memory stays what it was, and the last step is as right as the first.
//!
//! A binary of its own, since it looks at the memory of its process.

use std::time::Instant;

use wgpu_batchnorm::checked;
use wgpu_batchnorm::{BatchNorm, Config, Gpu, Mode, Tensor, wgpu};

use testkit::data::Random;

const SHAPE: [usize; 4] = [4, 8, 5, 5];
const C: usize = 8;
const RATE: f32 = 0.05;

/// What there is of things that could pile up.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Live {
    buffers: usize,
    bind_groups: usize,
    pipelines: usize,
    command_buffers: usize,
}

struct Soak {
    instance: wgpu::Instance,
    gpu: Gpu,
    layer: BatchNorm,
    batches: Vec<Tensor>,
    /// What the layer is to learn: y = target weight · x̂ + target bias.
    targets: Vec<Vec<f32>>,
}

impl Soak {
    fn new() -> Self {
        let (instance, gpu) = testkit::gpu::counted();
        let mut random = Random::new(1);
        let len = SHAPE.iter().product();
        let config = Config::pytorch();
        let mut teacher = BatchNorm::new(&gpu, C, config).unwrap();
        let affine = [random.normals(C, 1.0, 0.5), random.normals(C, 0.0, 1.0)].concat();
        teacher.affine().write(&affine).unwrap();
        let values = (0..4).map(|_| random.normals(len, 100.0, 3.0));
        let upload = |values: Vec<f32>| Tensor::upload(&gpu, &SHAPE, &values).unwrap();
        let batches: Vec<_> = values.map(upload).collect();
        let targets = batches.iter().map(|x| {
            let y = teacher.forward(x, Mode::Train).unwrap().y;
            y.read_blocking().unwrap()
        });
        Self {
            targets: targets.collect(),
            layer: BatchNorm::new(&gpu, C, config).unwrap(),
            batches,
            instance,
            gpu,
        }
    }

    /// Forward, loss, backward and update; gives the loss, and the worst error as a share of its
    /// bound where the step is compared with the reference.
    fn step(&mut self, k: usize, check: bool) -> (f64, Option<f64>) {
        let (x, target) = (&self.batches[k % 4], &self.targets[k % 4]);
        let mut findings = Vec::new();
        let forward = if check {
            let (forward, report) =
                checked::forward_blocking(&mut self.layer, x, Mode::Train).unwrap();
            findings.extend(report.findings);
            forward
        } else {
            self.layer.forward(x, Mode::Train).unwrap()
        };
        let y = forward.y.read_blocking().unwrap();
        let scale = 1.0 / (y.len() / C) as f32;
        let off: Vec<f32> = y.iter().zip(target).map(|(y, t)| y - t).collect();
        let dy: Vec<f32> = off.iter().map(|off| off * scale).collect();
        let dy = Tensor::upload(&self.gpu, &SHAPE, &dy).unwrap();
        let gradients = if check {
            let saved = &forward.saved;
            let (gradients, report) =
                checked::backward_blocking(&self.layer, x, &dy, saved).unwrap();
            findings.extend(report.findings);
            gradients
        } else {
            self.layer.backward(x, &dy, &forward.saved).unwrap()
        };
        let slope = gradients.parameters.read_blocking().unwrap();
        let mut affine = self.layer.affine().read_blocking().unwrap();
        affine
            .iter_mut()
            .zip(&slope)
            .for_each(|(v, d)| *v -= RATE * d);
        self.layer.affine().write(&affine).unwrap();
        let loss = off.iter().map(|&off| f64::from(off).powi(2)).sum::<f64>() / off.len() as f64;
        let beyond = findings.iter().find(|finding| !finding.passed());
        assert!(beyond.is_none(), "step {k}: {beyond:?}");
        let shares = findings.iter().map(|f| f.error / f.bound);
        (loss, shares.reduce(f64::max))
    }

    fn live(&self) -> Live {
        let wait = wgpu::PollType::wait_indefinitely();
        self.gpu.device().poll(wait).unwrap();
        let hub = self.instance.generate_report().expect("not a browser").hub;
        Live {
            buffers: hub.buffers.num_allocated,
            bind_groups: hub.bind_groups.num_allocated,
            pipelines: hub.compute_pipelines.num_allocated,
            command_buffers: hub.command_buffers.num_allocated,
        }
    }
}

/// The process's resident memory, in KiB; only Linux tells it in a file.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Memory that a process may take beyond what it had after a tenth of the steps: allocators round up.
const SLACK_KIB: usize = 4096;

fn train(steps: usize) {
    let mut soak = Soak::new();
    let tenth = steps / 10;
    let start = Instant::now();
    let (mut warm, mut first) = (None, None);
    for k in 0..=steps {
        let (loss, share) = soak.step(k, k % tenth == 0);
        let Some(share) = share else { continue };
        let (live, memory) = (soak.live(), resident());
        println!(
            "step {k:>6}: loss {loss:.3e}, worst error {share:.2} of its bound, {} KiB, {live:?}, \
             {:.1} s",
            memory.map_or("unknown".to_owned(), |m| m.to_string()),
            start.elapsed().as_secs_f64()
        );
        first.get_or_insert(loss);
        if k == 0 {
            continue;
        }
        let (warm_live, warm_memory) = *warm.get_or_insert((live, memory));
        assert_eq!(live, warm_live, "after {k} steps");
        if let (Some(memory), Some(warm)) = (memory, warm_memory) {
            assert!(memory <= warm + SLACK_KIB, "{warm} KiB became {memory}");
        }
        if k == steps {
            assert!(loss < first.unwrap() * 1e-6, "{first:?} became {loss}");
        }
    }
    let state = soak.layer.state_blocking().unwrap();
    assert_eq!(state.num_batches_tracked, steps as u64 + 1);
    assert_eq!(state.skipped_batches(), [0; C]);
}

#[test]
fn a_thousand_steps() {
    train(1_000);
}

#[test]
#[ignore = "takes minutes; alone and in release: --ignored --nocapture"]
fn a_hundred_thousand_steps() {
    train(100_000);
}
