//! Moments over any axes and normalization by them, as `tf.nn` has them, and folding a trained layer.

use wgpu_batchnorm::functional::{self, AffineStep, LinearWeight, Trained};
use wgpu_batchnorm::{Adapter, Error, Gpu, Parameters, Tensor};

fn main() -> Result<(), Error> {
    let gpu = Gpu::new_blocking(&Adapter::Best)?;
    let values: Vec<f32> = (1..=12).map(|i| i as f32).collect();
    let x = Tensor::upload(&gpu, &[2, 2, 3], &values)?;

    // Over the first and the last axis; the middle one keeps its statistics.
    let moments = functional::moments(&x, &[0, -1], true)?;
    assert_eq!(moments.shape(), [1, 2, 1]);
    assert_eq!(moments.read_blocking()?.mean(), [5.0, 8.0]);
    let y = functional::normalize(&x, &moments, AffineStep::default(), 1e-5)?;
    let sums = y.read_blocking()?;
    let sums = sums.iter().sum::<f32>();
    assert!(sums.abs() < 1e-5);

    // A trained layer of one channel folds into the linear layer before it, whose weight is [1, 2]: w' = w·γ/√(σ² + ε).
    let trained = Trained::new(
        Parameters::default()
            .with_weight(&[2.0][..])
            .with_bias(&[1.0][..]),
        &[3.0],
        &[4.0],
        0.0,
    );
    let weight = LinearWeight::new(&[10f32, 20.0], &[1, 2]);
    let folded = functional::fold_into_previous(&trained, &weight, None)?;
    assert_eq!((folded.weight, folded.bias), (vec![10.0, 20.0], vec![-2.0]));

    // Behind the norm: w' = w·γ/√(σ² + ε) again, and the shift goes into the bias.
    let weight = LinearWeight::new(&[10f32, 20.0], &[2, 1]);
    let folded = functional::fold_into_next(&trained, &weight, None, false)?;
    assert_eq!(
        (folded.weight, folded.bias),
        (vec![10.0, 20.0], vec![-20.0, -40.0])
    );

    // A transposed convolution (deconvolution) of two groups: [inputs, outputs of a group, 1, 1].
    let scaled = Trained::new(
        Parameters::default().with_weight(&[1.0, 10.0, 100.0, 1000.0][..]),
        &[0.0; 4],
        &[1.0; 4],
        0.0,
    );
    let weight = LinearWeight::transposed(&[1f32; 8], &[4, 2, 1, 1]).with_groups(2);
    let folded = functional::fold_into_previous(&scaled, &weight, None)?;
    assert_eq!(
        folded.weight,
        [1.0, 10.0, 1.0, 10.0, 100.0, 1000.0, 100.0, 1000.0]
    );
    Ok(())
}
