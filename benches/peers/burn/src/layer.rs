//! Burn's layer on one shape: its data, its results and its times.

use std::time::Duration;

use burn::module::{Param, RunningState};
use burn::nn::{BatchNorm, BatchNormConfig};
use burn::tensor::{Device, Distribution, Tensor};

use crate::check::{Channels, Data, Gradients, Truth};
use crate::suite::Op;
use crate::timing::{Times, time};

/// The layer, for training and for inference, and inputs in turn.
pub struct Bench<const D: usize> {
    device: Device,
    shape: [usize; D],
    channels: Channels,
    inference: BatchNorm,
    training: BatchNorm,
    /// Without autodiff, and the same as leaves of it.
    inputs: Vec<Tensor<D>>,
    leaves: Vec<Tensor<D>>,
}

impl<const D: usize> Bench<D> {
    /// As many inputs as `bytes` hold, and four at least.
    pub fn new(device: &Device, shape: [usize; D], bytes: usize) -> Self {
        let size = 4 * shape.iter().product::<usize>();
        let normal = Distribution::Normal(0.0, 1.0);
        let inputs: Vec<Tensor<D>> = (0..bytes.div_ceil(size).max(4))
            .map(|_| Tensor::random(shape, normal, device))
            .collect();
        let leaf = |x: &Tensor<D>| x.clone().autodiff().require_grad();
        let channels = Channels::new(shape[1]);
        Self {
            device: device.clone(),
            shape,
            inference: layer(&channels, device),
            training: layer(&channels, &device.clone().autodiff()),
            channels,
            leaves: inputs.iter().map(leaf).collect(),
            inputs,
        }
    }

    pub fn sets(&self) -> usize {
        self.inputs.len()
    }

    fn bytes(&self) -> usize {
        4 * self.shape.iter().product::<usize>()
    }

    pub fn time_multiply(&self, limit: Duration) -> Times {
        time(&self.device, self.bytes(), limit, |i| {
            self.inputs[i % self.sets()].clone() * 1.5
        })
    }

    pub fn time(&self, op: Op, limit: Duration) -> Times {
        let (device, bytes, sets) = (&self.device, self.bytes(), self.sets());
        let leaf = |i: usize| self.leaves[i % sets].clone();
        match op {
            Op::Inference => time(device, bytes, limit, |i| {
                self.inference.forward(self.inputs[i % sets].clone())
            }),
            Op::Train => time(device, 2 * bytes, limit, |i| self.training.forward(leaf(i))),
            // Backward from `y` itself starts with ones for `dy`: a loss of the
            // harness would be in Burn's time.
            Op::Step => time(device, 4 * bytes, limit, |i| {
                let y = self.training.forward(leaf(i));
                let gradients = y.backward();
                (y, gradients)
            }),
        }
    }

    /// The worst error of all results of the operation. A step is checked with
    /// a random `dy`, through a loss of which `dy` is the gradient.
    pub fn worst_error(&self, op: Op) -> f64 {
        let x = read(self.inputs[0].clone());
        let data = Data::new(&self.shape, &x, &self.channels);
        if op == Op::Inference {
            let y = read(self.inference.forward(self.inputs[0].clone()));
            return data.error_of_y(&Truth::inference(&data), &y);
        }
        let truth = Truth::training(&data);
        let leaf = self.leaves[0].clone();
        let y = self.training.forward(leaf.clone());
        let error = data.error_of_y(&truth, &read(y.clone().inner()));
        if op == Op::Train {
            return error;
        }
        let normal = Distribution::Normal(0.0, 1.0);
        let dy = Tensor::<D>::random(self.shape, normal, &self.device);
        let gradients = (y * dy.clone().autodiff()).sum().backward();
        let of = |parameter: &Param<Tensor<1>>| {
            read(parameter.val().grad(&gradients).expect("a gradient"))
        };
        let got = Gradients {
            dx: read(leaf.grad(&gradients).expect("a gradient")),
            dweight: of(&self.training.gamma),
            dbias: of(&self.training.beta),
        };
        error.max(data.error_of_gradients(&truth, &read(dy), &got))
    }
}

fn layer(channels: &Channels, device: &Device) -> BatchNorm {
    let tensor = |values: &[f32]| Tensor::<1>::from_floats(values, device);
    let mut layer = BatchNormConfig::new(channels.weight.len()).init(device);
    layer.gamma = Param::from_tensor(tensor(&channels.weight));
    layer.beta = Param::from_tensor(tensor(&channels.bias));
    layer.running_mean = RunningState::new(tensor(&channels.mean));
    layer.running_var = RunningState::new(tensor(&channels.variance));
    layer
}

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().expect("the tensor is f32")
}
