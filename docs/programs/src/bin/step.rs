//! A training step that makes no buffer after its first round: outputs are given back to the next step.

use wgpu_batchnorm::{Activation, Adapter, BatchNorm, Config, Element, Error, Gpu};
use wgpu_batchnorm::{BackwardRequest, ForwardRequest, Mode, Tensor};

fn main() -> Result<(), Error> {
    let gpu = Gpu::new_blocking(&Adapter::Best)?;
    // y = relu(BN(x) + residual), with tensors in f16.
    let config = Config::pytorch().with_activation(Activation::Relu);
    let mut layer = BatchNorm::new(&gpu, 3, config)?;
    let shape = [2, 3, 7, 7];
    let half = |value: &dyn Fn(usize) -> f32| {
        let values: Vec<f32> = (0..294).map(value).collect();
        Tensor::upload_as(&gpu, &shape, Element::F16, &values)
    };
    let x = half(&|i| (i % 11) as f32 - 5.0)?;
    let (residual, dy) = (half(&|_| 0.25)?, half(&|_| 0.5)?);

    let request = ForwardRequest::new(Mode::Train).with_residual(&residual);
    let mut forward = layer.forward(&x, request)?;
    let wanted = BackwardRequest::new(&forward.saved).with_dresidual(true);
    let mut gradients = layer.backward(&x, &dy, wanted)?;
    for _ in 1..10 {
        layer.forward_into(&x, request, &mut forward)?;
        let wanted = BackwardRequest::new(&forward.saved).with_dresidual(true);
        layer.backward_into(&x, &dy, wanted, &mut gradients)?;
    }

    assert!(forward.y.read_blocking()?.iter().all(|&y| y >= 0.0));
    assert!(gradients.dresidual.is_some());
    assert_eq!(layer.num_batches_tracked(), 10);
    Ok(())
}
