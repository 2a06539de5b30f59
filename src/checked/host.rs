//! What a layer's pass read, on the host.

use crate::check;
use crate::config::Activation;
use crate::element::Element;
use crate::error::Error;
use crate::layer::BatchNorm;
use crate::shape::View;
use crate::stats::{Parameters, rows};
use crate::tensor::Tensor;
use crate::weights::{Broadcast, Outside, Weights};

/// A pass's inputs, read back for a check.
pub(super) struct HostInput {
    pub(super) view: View,
    x: Vec<f32>,
    residual: Option<Vec<f32>>,
    element: Element,
    activation: Activation,
    weight: Option<Vec<f32>>,
    bias: Option<Vec<f32>>,
    eps: f32,
    weights: Option<HostWeights>,
}

struct HostWeights {
    values: Vec<f32>,
    places: Broadcast,
    outside: Outside,
}

impl HostInput {
    pub(super) async fn read(
        layer: &BatchNorm,
        x: &Tensor,
        residual: Option<&Tensor>,
        weights: Option<(&Tensor, Outside)>,
    ) -> Result<Self, Error> {
        let weights = match weights {
            Some((weights, outside)) => Some(HostWeights {
                values: weights.read().await?,
                places: layer.config().places_of(x.shape(), weights.shape())?,
                outside,
            }),
            None => None,
        };
        let [weight, bias] = rows(&layer.affine().read().await?)?;
        let config = layer.config();
        Ok(Self {
            view: config.view(x.shape())?,
            x: x.read().await?,
            residual: optional(residual).await?,
            element: x.element(),
            activation: config.activation,
            weight: config.affine.has_weight().then_some(weight),
            bias: config.affine.has_bias().then_some(bias),
            eps: config.eps,
            weights,
        })
    }

    pub(super) fn input(&self) -> check::Input<'_> {
        check::Input {
            view: self.view,
            x: &self.x,
            parameters: Parameters {
                weight: self.weight.as_deref(),
                bias: self.bias.as_deref(),
            },
            eps: self.eps,
            epilogue: check::Epilogue {
                element: self.element,
                activation: self.activation,
                residual: self.residual.as_deref(),
            },
            weights: self
                .weights
                .as_ref()
                .map(|w| Weights::at(&w.values, w.places, w.outside)),
            sub_batches: None,
        }
    }
}

/// The values of a tensor that may be missing.
pub(super) async fn optional(tensor: Option<&Tensor>) -> Result<Option<Vec<f32>>, Error> {
    Ok(match tensor {
        Some(tensor) => Some(tensor.read().await?),
        None => None,
    })
}
