//! A batch in two parts, normalized with the statistics of the whole batch, forward and backward.

use programs::{Result, buffer, open, read, write};
use wgpu_batchnorm::{
    Affine, BackwardBuffers, Config, Context, MomentsBuffers, MomentsRows, StatisticsRows,
    SumsRows, TrainBuffers,
};

fn main() -> Result {
    let (_, device, queue) = open()?;
    let context = Context::new(&device)?;
    let config = Config::pytorch()
        .with_affine(Affine::None)
        .without_running();

    // Each part has the shape [2, 1], one channel; x is −3, −1 and 1, 3, dy is 1, 0 and 0, 0.
    let plan = context.plan(&config, &[2, 1])?;
    let tensor = |values: &[f32]| {
        let tensor = buffer(&device, plan.tensor_bytes());
        write(&queue, &tensor, 0, values);
        tensor
    };
    let x = [tensor(&[-3.0, -1.0]), tensor(&[1.0, 3.0])];
    let dy = [tensor(&[1.0, 0.0]), tensor(&[0.0, 0.0])];
    let y = [tensor(&[]), tensor(&[])];
    let dx = [tensor(&[]), tensor(&[])];
    let moments = [(); 2].map(|()| buffer(&device, plan.moments_bytes()));
    let saved = buffer(&device, plan.saved_bytes());
    let sums = buffer(&device, plan.grads_bytes());
    let workspace = buffer(&device, plan.workspace_bytes());

    let mut bindings = Vec::new();
    // Forward, first half: the moments of each part, then merged into those of 4 values a channel.
    for k in 0..2 {
        let buffers =
            MomentsBuffers::new(x[k].slice(..), moments[k].slice(..), workspace.slice(..));
        bindings.push(plan.bind_moments(&buffers)?);
    }
    let part = |k: usize| MomentsRows::new(moments[k].slice(..), 2.0);
    bindings.push(plan.bind_merge_moments(&part(0), &part(1))?);
    // Second half: each part with the moments of the whole batch.
    for k in 0..2 {
        let whole = MomentsRows::new(moments[0].slice(..), 4.0);
        let buffers = TrainBuffers::new(x[k].slice(..), saved.slice(..), workspace.slice(..))
            .with_y(y[k].slice(..))
            .with_moments(whole);
        bindings.push(plan.bind_train(&buffers)?);
    }

    // Backward, first half: the sums of each part, added up. Second half: dx from the sums of all.
    let backward = |k: usize| {
        let statistics = StatisticsRows::Saved(saved.slice(..));
        BackwardBuffers::new(
            x[k].slice(..),
            dy[k].slice(..),
            statistics,
            workspace.slice(..),
        )
    };
    for k in 0..2 {
        let buffers = backward(k)
            .with_grads(sums.slice(..))
            .with_accumulate(k > 0);
        bindings.push(plan.bind_backward(&buffers)?);
    }
    for k in 0..2 {
        let whole = SumsRows::new(sums.slice(..), 4.0);
        let buffers = backward(k).with_dx(dx[k].slice(..)).with_sums(whole);
        bindings.push(plan.bind_backward(&buffers)?);
    }

    let mut encoder = device.create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    bindings
        .iter()
        .for_each(|binding| binding.encode(&mut pass));
    drop(pass);
    queue.submit([encoder.finish()]);

    // The whole batch has mean 0 and variance 5.
    let root = 5f32.sqrt();
    let close = |buffer, expected: [f32; 2]| {
        let got = read(&device, &queue, buffer)?;
        let near = got
            .iter()
            .zip(expected)
            .all(|(got, v)| (got - v / root).abs() < 1e-5);
        assert!(near, "{got:?}");
        Result::Ok(())
    };
    close(&y[0], [-3.0, -1.0])?;
    close(&y[1], [1.0, 3.0])?;
    close(&dx[0], [0.3, -0.4])?;
    close(&dx[1], [-0.1, 0.2])
}
