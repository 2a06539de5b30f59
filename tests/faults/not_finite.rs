//! A batch that is not finite in the middle of training: left out by its channel, counted, told.

use wgpu_batchnorm::checked::Checked;
use wgpu_batchnorm::cpu::{self, Input, Running};
use wgpu_batchnorm::{
    BatchNorm, Config, LayerState, Mode, Parameters, RunningStatistics, Tensor, View,
};

use crate::support::normals;
use testkit::gpu::own_gpu;

const C: usize = 1;
const BAD: usize = 3;
const STEPS: usize = 6;

/// One batch a step; that of step `BAD` has `bad` in channel `C`.
fn batches(view: &View, shape: &[usize], bad: f32) -> Vec<Vec<f32>> {
    let mut batches: Vec<_> = (0..STEPS).map(|k| normals(shape, k as u64 + 1)).collect();
    let at = view.runs(C).next().unwrap().start;
    batches[BAD][at] = bad;
    batches
}

/// What must hold between two steps, whoever computed them.
fn assert_left_out(step: usize, before: &RunningStatistics, after: &RunningStatistics) {
    for c in 0..before.mean.len() {
        let left_out = step == BAD && c == C;
        let counted = after.batches[c] - before.batches[c];
        assert_eq!(counted, u32::from(!left_out), "step {step}, channel {c}");
        let moved = before.mean[c] != after.mean[c] && before.variance[c] != after.variance[c];
        let same = before.mean[c].to_bits() == after.mean[c].to_bits()
            && before.variance[c].to_bits() == after.variance[c].to_bits();
        assert!(
            if left_out { same } else { moved },
            "step {step}, channel {c}"
        );
    }
}

fn cases() -> [(&'static [usize], isize); 2] {
    [(&[4, 3, 5], 1), (&[20, 3], -1)]
}

const NOT_FINITE: [f32; 3] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];

#[test]
fn on_the_device() {
    let gpu = own_gpu();
    for ((shape, axis), bad) in cases()
        .into_iter()
        .flat_map(|c| NOT_FINITE.map(|bad| (c, bad)))
    {
        let config = Config::pytorch().with_axis(axis);
        let view = View::new(shape, axis).unwrap();
        let mut layer = Checked::new(BatchNorm::new(&gpu, 3, config).unwrap());
        for (step, x) in batches(&view, shape, bad).iter().enumerate() {
            let before = layer.layer().state_blocking().unwrap();
            let x = Tensor::upload(&gpu, shape, x).unwrap();
            let forward = layer.forward_blocking(&x, Mode::Train).unwrap();
            let after = layer.layer().state_blocking().unwrap();
            assert_left_out(
                step,
                &before.running.unwrap(),
                after.running.as_ref().unwrap(),
            );
            // Told by the step itself, and by the layer ever after.
            let saved = forward.saved.read_blocking().unwrap().unwrap();
            let told: Vec<_> = saved.batch_mean.iter().map(|mean| mean.is_nan()).collect();
            assert_eq!(told, [false, step == BAD, false]);
            assert_eq!(after.num_batches_tracked, step as u64 + 1);
            assert_eq!(after.skipped_batches(), [0, u64::from(step >= BAD), 0]);
        }
        // A checkpoint of PyTorch's has one count for all channels.
        let bytes = layer.layer().to_safetensors_blocking("").unwrap();
        let again = LayerState::from_safetensors(&bytes, "", 3, &config).unwrap();
        assert_eq!(again.num_batches_tracked, STEPS as u64);
        assert_eq!(again.skipped_batches(), [0; 3]);
    }
}

#[test]
fn on_the_cpu() {
    for ((shape, axis), bad) in cases()
        .into_iter()
        .flat_map(|c| NOT_FINITE.map(|bad| (c, bad)))
    {
        let options = Config::pytorch().running.unwrap();
        let view = View::new(shape, axis).unwrap();
        let mut running = RunningStatistics::new(3).unwrap();
        for (step, x) in batches(&view, shape, bad).iter().enumerate() {
            let before = running.clone();
            let mut y = vec![0.0; x.len()];
            let input = Input::new(view, x, Parameters::default(), 1e-5);
            let moved = Some(Running::new(&mut running, options));
            let saved = cpu::train_forward(&input, moved, &mut y).unwrap();
            assert_left_out(step, &before, &running);
            let told: Vec<_> = saved.batch_mean.iter().map(|mean| mean.is_nan()).collect();
            assert_eq!(told, [false, step == BAD, false]);
        }
        let state = LayerState::default()
            .with_running(running)
            .with_num_batches_tracked(STEPS as u64);
        assert_eq!(state.skipped_batches(), [0, 1, 0]);
    }
}
