use wgpu_batchnorm::{Adapter, BatchNorm, Config, Error, Gpu, Mode, Tensor};

fn main() -> Result<(), Error> {
    let gpu = Gpu::new_blocking(&Adapter::Best)?;
    let mut layer = BatchNorm::new(&gpu, 3, Config::pytorch())?; // 3 channels, at axis 1

    let values: Vec<f32> = (0..2 * 3 * 4 * 4).map(|i| 1e4 + (i % 7) as f32).collect();
    let x = Tensor::upload(&gpu, &[2, 3, 4, 4], &values)?;
    let forward = layer.forward(&x, Mode::Train)?; // submits, and does not wait

    let dy = Tensor::upload(&gpu, &[2, 3, 4, 4], &[0.5; 96])?;
    let gradients = layer.backward(&x, &dy, &forward.saved)?; // dx, dweight and dbias

    let y = forward.y.read_blocking()?; // reading waits
    assert!((y.iter().sum::<f32>() / 96.0).abs() < 1e-5); // mean 0
    assert!((y.iter().map(|y| y * y).sum::<f32>() / 96.0 - 1.0).abs() < 1e-4); // variance 1
    assert_eq!(gradients.dbias_blocking()?, [16.0; 3]); // dy summed over each channel

    let inferred = layer.infer(&x)?; // with the running statistics
    assert_eq!(inferred.shape(), x.shape());
    Ok(())
}
