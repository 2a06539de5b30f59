//! Sequences of different lengths, normalized without their padding; and weighted moments.

use wgpu_batchnorm::{
    Adapter, BatchNorm, Config, Error, ForwardRequest, Gpu, Mode, Outside, Tensor, functional,
};

fn main() -> Result<(), Error> {
    let gpu = Gpu::new_blocking(&Adapter::Best)?;
    let mut layer = BatchNorm::new(&gpu, 1, Config::pytorch())?;

    // Two sequences of one channel, of 4 steps and of 2. What lies behind the second may be anything.
    let values = [1.0, 2.0, 3.0, 4.0, 5.0, 9.0, f32::NAN, f32::NAN];
    let x = Tensor::upload(&gpu, &[2, 1, 4], &values)?;
    // 1 within, 0 behind; the axis of channels has length 1.
    let mask = Tensor::upload(&gpu, &[2, 1, 4], &[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0])?;
    let request = ForwardRequest::new(Mode::Train).with_weights(&mask, Outside::Zero);
    let forward = layer.forward(&x, request)?;
    let y = forward.y.read_blocking()?;
    assert!(y[3].abs() < 1e-6); // 4 is the mean of six values
    assert_eq!(y[6..], [0.0, 0.0]);

    // Backward takes the same mask.
    let dy = Tensor::upload(&gpu, &[2, 1, 4], &[1.0; 8])?;
    let gradients = layer.backward(&x, &dy, &forward.saved)?;
    assert_eq!(gradients.dbias_blocking()?, [6.0]);

    // tf.nn.weighted_moments over the first axis.
    let x = Tensor::upload(&gpu, &[2, 1], &[0.0, 1.0])?;
    let weights = Tensor::upload(&gpu, &[2, 1], &[1.0, 2.0])?;
    let moments = functional::weighted_moments(&x, &weights, &[0], false)?.read_blocking()?;
    assert!((moments.mean()[0] - 2.0 / 3.0).abs() < 1e-6);
    assert!((moments.variance()[0] - 2.0 / 9.0).abs() < 1e-6);
    Ok(())
}
