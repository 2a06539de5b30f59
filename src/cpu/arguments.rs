//! What the operations take and give besides tensors.

use std::ops::Range;

use crate::config::{Activation, RunningUpdate};
use crate::error::{ConfigError, Error, ShapeError};
use crate::shape::{View, check_channels, check_len, check_tensor};
use crate::stats::{Parameters, RunningStatistics, SavedStatistics};
use crate::sub_batches::SubBatches;
use crate::weights::Weights;

/// What an operation reads, in f32.
///
/// ```
/// use wgpu_batchnorm::cpu::{self, Input, Running};
/// use wgpu_batchnorm::{Config, Parameters, RunningStatistics, View};
///
/// // Two examples of two channels.
/// let view = View::new(&[2, 2], 1)?;
/// let (x, dy) = ([1.0, 10.0, 3.0, 30.0], [1.0, 0.0, 0.0, 1.0]);
/// let parameters = Parameters::default().with_bias(&[0.5, 0.0][..]);
/// let input = Input::new(view, &x, parameters, 1e-5);
///
/// let mut y = [0.0; 4];
/// let mut statistics = RunningStatistics::new(2)?;
/// let update = Config::pytorch().running;
/// let running = update.map(|update| Running::new(&mut statistics, update));
/// let saved = cpu::train_forward(&input, running, &mut y)?;
/// assert_eq!(saved.batch_mean, [2.0, 20.0]);
/// assert!((y[0] + 0.5).abs() < 1e-4 && (y[2] - 1.5).abs() < 1e-4);
/// assert!((statistics.mean[1] - 2.0).abs() < 1e-6); // 0.1·20
///
/// let mut dx = [0.0; 4];
/// let gradients = cpu::backward(&input, &dy, &saved, Some(&mut dx))?;
/// assert_eq!(gradients.dbias, [1.0, 1.0]);
///
/// cpu::inference(&input, &statistics, &mut y)?;
/// # Ok::<_, wgpu_batchnorm::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Input<'a> {
    /// The view of `x`.
    pub view: View,
    /// The input, of the view's shape.
    pub x: &'a [f32],
    /// Weight and bias.
    pub parameters: Parameters<'a>,
    /// Added to variances under the root.
    pub eps: f32,
    /// What comes after the normalization and the residual.
    pub activation: Activation,
    /// What is added before the activation, of the view's shape.
    pub residual: Option<&'a [f32]>,
    /// Weights of the values of `x`; without them all count the same.
    pub weights: Option<Weights<'a>>,
    /// Sub-batches, each normalized by its own statistics; without them the batch is the only one.
    pub sub_batches: Option<SubBatches>,
}

impl<'a> Input<'a> {
    /// `x` seen as `view`, normalized with `parameters` and `eps`.
    pub fn new(view: View, x: &'a [f32], parameters: Parameters<'a>, eps: f32) -> Self {
        Self {
            view,
            x,
            parameters,
            eps,
            activation: Activation::None,
            residual: None,
            weights: None,
            sub_batches: None,
        }
    }

    /// Sets what comes after the normalization and the residual.
    pub fn with_activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// Sets what is added before the activation, of the view's shape.
    pub fn with_residual(mut self, residual: impl Into<Option<&'a [f32]>>) -> Self {
        self.residual = residual.into();
        self
    }

    /// Sets weights of the values of `x`. They change statistics; inference, and backward through given statistics, only
    /// ask them what is padding.
    pub fn with_weights(mut self, weights: impl Into<Option<Weights<'a>>>) -> Self {
        self.weights = weights.into();
        self
    }

    /// Sets sub-batches of the tensor, each of which is normalized by its own statistics, forward and backward. Inference,
    /// and backward through given statistics, do not look at them. They do not go with weights.
    pub fn with_sub_batches(mut self, sub_batches: impl Into<Option<SubBatches>>) -> Self {
        self.sub_batches = sub_batches.into();
        self
    }

    /// The sub-batches, of which there is one where none were set.
    pub(super) fn cut(&self) -> Result<SubBatches, Error> {
        let Some(sub_batches) = self.sub_batches else {
            return Ok(SubBatches::whole(self.view));
        };
        if self.weights.is_some() {
            let (what, with) = ("sub-batches", "weights");
            return Err(ConfigError::Combination { what, with }.into());
        }
        sub_batches.check(&self.view)?;
        Ok(sub_batches)
    }

    /// What an operation on one sub-batch reads.
    pub(super) fn part(&self, sub_batches: &SubBatches, index: usize) -> Self {
        let range = sub_batches.range(index);
        Self {
            view: sub_batches.view(index),
            x: &self.x[range.clone()],
            residual: self.residual.map(|residual| &residual[range]),
            sub_batches: None,
            ..*self
        }
    }

    /// Weights, where not all of them are 1.
    pub(super) fn unequal(&self) -> Option<&Weights<'a>> {
        self.weights.as_ref().filter(|w| !w.are_ones())
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        self.activation.validate()?;
        self.parameters.check_lengths(&self.view)?;
        if let Some(residual) = self.residual {
            check_tensor(&self.view, "residual", residual)?;
        }
        check_tensor(&self.view, "x", self.x)?;
        self.weights
            .map_or(Ok(()), |w| check_weights(&self.view, &w))
    }

    pub(super) fn check_gradients(&self, dy: &[f32], dx: Option<&[f32]>) -> Result<(), Error> {
        self.check()?;
        check_tensor(&self.view, "dy", dy)?;
        Ok(dx.map_or(Ok(()), |dx| check_tensor(&self.view, "dx", dx))?)
    }
}

/// Refuses weights of another tensor, and a weight that is negative or not finite.
pub(super) fn check_weights(view: &View, weights: &Weights<'_>) -> Result<(), Error> {
    weights.check(view.len())?;
    Ok(weights.validate()?)
}

/// What backward reads of the statistics that a batch, or a sub-batch, saved. `[C]` each.
#[derive(Clone, Copy)]
pub(super) struct Saved<'a> {
    pub pivot: &'a [f32],
    pub offset: &'a [f32],
    pub inv_std: &'a [f32],
}

impl<'a> Saved<'a> {
    /// Of all sub-batches, one after the other.
    pub fn of(saved: &'a SavedStatistics, sub_batches: &SubBatches) -> Result<Self, ShapeError> {
        let expected = sub_batches.count() * sub_batches.batch().channels();
        check_len("saved pivot", saved.pivot.len(), expected)?;
        check_len("saved offset", saved.offset.len(), expected)?;
        check_len("saved inv_std", saved.inv_std.len(), expected)?;
        Ok(Self {
            pivot: &saved.pivot,
            offset: &saved.offset,
            inv_std: &saved.inv_std,
        })
    }

    /// Of the sub-batch with this index, of so many channels.
    pub fn part(self, index: usize, channels: usize) -> Self {
        let row: Range<usize> = index * channels..(index + 1) * channels;
        Self {
            pivot: &self.pivot[row.clone()],
            offset: &self.offset[row.clone()],
            inv_std: &self.inv_std[row],
        }
    }
}

/// Statistics that do not depend on the batch: what inference and backward through frozen statistics use. `[C]` each.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Statistics<'a> {
    /// The mean.
    pub mean: &'a [f32],
    /// The variance, biased or unbiased, to which `eps` is added.
    pub variance: &'a [f32],
}

impl<'a> Statistics<'a> {
    /// This mean and this variance, `[C]` each. A `&RunningStatistics` converts into it.
    pub fn new(mean: &'a [f32], variance: &'a [f32]) -> Self {
        Self { mean, variance }
    }

    pub(super) fn check(&self, view: &View) -> Result<(), ShapeError> {
        check_channels(view, "mean", self.mean)?;
        check_channels(view, "variance", self.variance)
    }
}

impl<'a> From<&'a RunningStatistics> for Statistics<'a> {
    fn from(running: &'a RunningStatistics) -> Self {
        Self::new(&running.mean, &running.variance)
    }
}

/// Running statistics that training forward moves.
#[derive(Debug)]
#[non_exhaustive]
pub struct Running<'a> {
    /// Before the call, and after it.
    pub statistics: &'a mut RunningStatistics,
    /// How the batch updates them.
    pub update: RunningUpdate,
}

impl<'a> Running<'a> {
    /// `statistics`, which the batch updates as `update` says.
    pub fn new(statistics: &'a mut RunningStatistics, update: RunningUpdate) -> Self {
        Self { statistics, update }
    }
}

/// What backward returns beside the `dx` that it writes, `[C]` each.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ParameterGradients {
    /// Gradient of the weight.
    pub dweight: Vec<f32>,
    /// Gradient of the bias.
    pub dbias: Vec<f32>,
}
