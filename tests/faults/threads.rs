//! Two layers and eight threads on one context.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use wgpu_batchnorm::{BatchNorm, Config, Gpu, LayerState, Mode, Tensor};

use crate::support::normals;
use testkit::gpu::own_gpu;

const THREADS: usize = 8;
const ROUNDS: usize = 6;

/// A layer of each pattern, with its input and upstream gradient.
struct Subject {
    layer: Mutex<BatchNorm>,
    x: Tensor,
    dy: Tensor,
}

fn subjects(gpu: &Gpu) -> [Subject; 2] {
    [(&[8, 5, 11, 13][..], 1), (&[8, 11, 13, 6], -1)].map(|(shape, axis)| {
        let config = Config::pytorch().with_axis(axis);
        let channels = if axis == 1 { 5 } else { 6 };
        let upload = |seed| Tensor::upload(gpu, shape, &normals(shape, seed)).unwrap();
        Subject {
            layer: Mutex::new(BatchNorm::new(gpu, channels, config).unwrap()),
            x: upload(1),
            dy: upload(2),
        }
    })
}

impl Subject {
    /// y, dx, dweight and dbias of a step of training, as bits. The results are read after the
    /// layer is free for the next thread.
    fn step(&self) -> Vec<u32> {
        let (forward, gradients) = {
            let mut layer = self.layer.lock().unwrap();
            let forward = layer.forward(&self.x, Mode::Train).unwrap();
            let gradients = layer.backward(&self.x, &self.dy, &forward.saved);
            (forward.y, gradients.unwrap())
        };
        let dx = gradients.dx.unwrap();
        let read = [&forward, &dx, &gradients.parameters].map(|t| t.read_blocking().unwrap());
        read.concat().into_iter().map(f32::to_bits).collect()
    }

    fn state(&self) -> LayerState {
        self.layer.lock().unwrap().state_blocking().unwrap()
    }
}

#[test]
fn two_layers_and_eight_threads() {
    // What one thread alone gets, on a device of its own.
    let alone = subjects(&own_gpu());
    let expected: Arc<Vec<_>> = Arc::new(alone.iter().map(Subject::step).collect());
    for subject in &alone {
        (1..THREADS * ROUNDS).for_each(|_| drop(subject.step()));
    }

    // No pipeline is compiled yet: the threads begin with that.
    let shared = Arc::new(subjects(&own_gpu()));
    let (done, finished) = mpsc::channel();
    for thread in 0..THREADS {
        let (shared, expected, done) = (shared.clone(), expected.clone(), done.clone());
        std::thread::spawn(move || {
            for round in 0..ROUNDS {
                for k in [(thread + round) % 2, (thread + round + 1) % 2] {
                    let same = shared[k].step() == expected[k];
                    done.send((thread, k, same)).unwrap();
                }
            }
        });
    }
    drop(done);
    for _ in 0..THREADS * ROUNDS * 2 {
        let step = finished.recv_timeout(Duration::from_secs(120));
        let (thread, k, same) = step.expect("no deadlock, and no thread that panics");
        assert!(same, "thread {thread}, layer {k}");
    }
    // The batch is the same in every step, so the order of the threads is nowhere to be seen.
    for (shared, alone) in shared.iter().zip(&alone) {
        let state = shared.state();
        let steps = THREADS * ROUNDS;
        assert_eq!(state.num_batches_tracked, steps as u64);
        let running = state.running.as_ref().unwrap();
        assert!(running.batches.iter().all(|&k| k as usize == steps));
        assert_eq!(state, alone.state());
    }
}
