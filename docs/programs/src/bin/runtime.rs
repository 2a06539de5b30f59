//! Batch norm in a machine-learning runtime: f16 tensors in place, gradients added up, errors.

use programs::{Result, buffer, open, read, read_bytes, write};
use wgpu_batchnorm::error::BindError;
use wgpu_batchnorm::{
    Activation, BackwardBuffers, Config, Context, Element, InferenceBuffers, Momentum,
    StatisticsRows, TrainBuffers,
};

fn main() -> Result {
    let (_, device, queue) = open()?;
    let context = Context::new(&device)?;
    let shape = [4, 2, 3]; // N, C and one more axis; 12 values a channel

    // Training forward and backward in f32.
    let config = Config::pytorch().with_activation(Activation::Relu);
    let plan = context.plan(&config, &shape)?;
    let (x, y) = (
        buffer(&device, plan.tensor_bytes()),
        buffer(&device, plan.tensor_bytes()),
    );
    let (dy, dx) = (
        buffer(&device, plan.tensor_bytes()),
        buffer(&device, plan.tensor_bytes()),
    );
    let affine = buffer(&device, plan.affine_bytes());
    let running = buffer(&device, plan.running_bytes());
    let saved = buffer(&device, plan.saved_bytes());
    let grads = buffer(&device, plan.grads_bytes());
    let workspace = buffer(&device, plan.workspace_bytes());
    let values: Vec<f32> = (0..24).map(|i| (i * 7 % 24) as f32).collect();
    write(&queue, &x, 0, &values);
    write(&queue, &dy, 0, &[1.0; 24]);
    write(&queue, &affine, 0, &[1.0, 1.0, 10.0, 10.0]); // weight; bias, so large that relu is open
    write(&queue, &running, 0, &[0.0, 0.0, 1.0, 1.0, 0.0, 0.0]); // mean, variance, batches

    let forward = TrainBuffers::new(x.slice(..), saved.slice(..), workspace.slice(..))
        .with_y(y.slice(..))
        .with_affine(affine.slice(..))
        .with_running(running.slice(..));
    let mut forward = plan.bind_train(&forward)?;
    let statistics = StatisticsRows::Saved(saved.slice(..)); // or Running, frozen
    let backward = BackwardBuffers::new(x.slice(..), dy.slice(..), statistics, workspace.slice(..))
        .with_affine(affine.slice(..))
        .with_dx(dx.slice(..))
        .with_grads(grads.slice(..)) // dweight, dbias
        .with_accumulate(true); // added to what the optimizer has not taken yet
    let backward = plan.bind_backward(&backward)?;
    forward.set_momentum(Momentum::new(0.2))?; // for what is encoded from now on

    for _ in 0..2 {
        let mut encoder = device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        forward.encode(&mut pass);
        backward.encode(&mut pass);
        drop(pass);
        queue.submit([encoder.finish()]);
    }
    assert_eq!(read(&device, &queue, &grads)?[2..], [24.0, 24.0]); // Σdy, twice
    assert_eq!(read(&device, &queue, &running)?[4].to_bits(), 2); // batches counted, as u32

    // Inference in f16, with y over x. Two values share a 32-bit word, on every adapter.
    let half = context.plan(&Config::pytorch().with_element(Element::F16), &shape)?;
    let tensor = buffer(&device, half.tensor_bytes());
    let one = 0x3c00_u16; // 1.0
    queue.write_buffer(&tensor, 0, &[one.to_ne_bytes(); 24].concat());
    write(&queue, &running, 0, &[1.0, 1.0, 4.0, 4.0]);
    let over_x =
        InferenceBuffers::new(tensor.slice(..), running.slice(..)).with_affine(affine.slice(..));
    let over_x = half.bind_inference(&over_x)?;
    let mut encoder = device.create_command_encoder(&Default::default());
    over_x.encode(&mut encoder.begin_compute_pass(&Default::default()));
    queue.submit([encoder.finish()]);
    let ten = 0x4900_u16; // (1 − 1)·weight/√(4 + eps) + 10
    let bytes = read_bytes(&device, &queue, &tensor, 0..48)?;
    assert_eq!(bytes, [ten.to_ne_bytes(); 24].concat());

    // What does not fit is refused before anything is recorded, and the error names the buffer.
    let short = TrainBuffers::new(x.slice(..), saved.slice(..16), workspace.slice(..))
        .with_affine(affine.slice(..))
        .with_running(running.slice(..));
    match plan.bind_train(&short) {
        Err(BindError::Size {
            buffer,
            got,
            expected,
            ..
        }) => {
            assert_eq!((buffer, got, expected), ("saved", 16, plan.saved_bytes()));
        }
        other => panic!("{other:?}"),
    }
    Ok(())
}
