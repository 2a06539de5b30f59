//! Results against the reference: how far off, where, and how far they may be.
//!
//! An error is the absolute error over a scale, per channel, with a floor of 1.2e-38 on the scale: for `y`
//! the largest |x̂·weight| + |bias| of its channel, for means the largest |x|, for variances and `inv_std`
//! the true value, for `dx` the largest sum of its terms' magnitudes, for `dweight` and `dbias` Σ|dy·x̂| and
//! Σ|dy|. Where the reference is NaN, the result must be NaN. Where the reference overflows f32, the result
//! must be infinite with its sign.
//!
//! With an activation g, an error of its argument z may be magnified by the largest |g'| near z, and a smooth
//! g itself is computed with an error of the same share of |y|. So scale(y) = scale(z)·max|g'|, plus max|y| where g
//! is smooth or adds a half. Backward has dz = dy·g'(z) in place of dy. Its bounds also allow for the change of g' that the rounding
//! of z can cause, at a kink and elsewhere (`upstream.rs`): each z as far off as f32 may leave that element
//! (`rounding.rs`). The bound of `dweight` also allows for the rounding of small x̂ (`rounding.rs`).
//!
//! With weights w, sums about a channel are weighted: `dx` has w/W in place of 1/m. Statistics and their scales see only values
//! of weight above 0; scales of `y`, `dx`, `dweight` and `dbias` see all that is no padding. Padding has to be exactly 0.
//! Where a batch counts for no running statistics, these have to be as before, bit for bit.
//!
//! With sub-batches, each is judged as a batch of its own, over scales of its own. `dweight` and `dbias` are judged as sums over
//! all, over the sums of Σ|dy·x̂| and Σ|dy|. Running statistics are judged against the recursion in f64 over all.
//!
//! What a sound device may lose at the ends of f32 is granted (`ends.rs`).
//!
//! f16 and bf16 results may be half a unit in the last place of their type further off.
//!
//! Everything here works on values of the host. [`checked`](crate::checked) runs layers and functional forms
//! and reads their inputs and results back for it. A device may execute nothing. Outputs and scratch are
//! therefore filled with [`POISON`] before a run, and a value that still holds it fails. A kernel of the same
//! submission shows that the device executed it ([`Finding::unexecuted`]). Callers who have the inputs on the
//! host compare them with what the device holds ([`Finding::held`]), as `wgbn` does. These three add findings
//! to a report only when they fail.
//!
//! Where a slice is not as long as the view says, be it an input or a result, a judge returns an error and no report.

mod backward;
mod ends;
mod finding;
mod forward;
mod judge;
mod parts;
mod poison;
mod rounding;
mod running;
mod storage;
#[cfg(test)]
mod tests;
mod upstream;

pub use backward::{backward, backward_frozen, dresidual};
pub use finding::{Finding, Report};
pub use forward::{
    TrainResult, inference, moments, moments_over, normalize, train_forward, weighted_moments,
    weighted_moments_over,
};
pub use poison::{POISON, is_poison};

use crate::config::Activation;
use crate::element::Element;
use crate::error::ShapeError;
use crate::reference::Shares;
use crate::shape::{View, check_tensor};
use crate::stats::Parameters;
use crate::sub_batches::SubBatches;
use crate::weights::Weights;

/// Bound on the errors of `y`, means, variances and `inv_std`, each over its channel's scale.
pub const FORWARD_BOUND: f64 = 5e-7;
/// Bound on the errors of `dx`, `dweight` and `dbias`, each over its channel's scale.
pub const BACKWARD_BOUND: f64 = 1e-6;
const SCALE_FLOOR: f64 = 1.2e-38;

/// What the operations read: `x`, of any shape that `view` describes, and what it is normalized with.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Input<'a> {
    /// The view of `x`.
    pub view: View,
    /// The input.
    pub x: &'a [f32],
    /// Weight and bias.
    pub parameters: Parameters<'a>,
    /// Added to variances.
    pub eps: f32,
    /// What comes after the normalization.
    pub epilogue: Epilogue<'a>,
    /// Weights of the values of `x`; without them all count the same.
    pub weights: Option<Weights<'a>>,
    /// Sub-batches, each normalized by its own statistics; without them the batch is the only one.
    pub sub_batches: Option<SubBatches>,
}

impl<'a> Input<'a> {
    /// `x` as it is stored, seen as `view`, normalized with `parameters` and `eps`; results are f32, with no residual
    /// and no activation.
    pub fn new(view: View, x: &'a [f32], parameters: Parameters<'a>, eps: f32) -> Self {
        Self {
            view,
            x,
            parameters,
            eps,
            epilogue: Epilogue::default(),
            weights: None,
            sub_batches: None,
        }
    }

    /// Weights of the values of `x`.
    pub fn with_weights(mut self, weights: impl Into<Option<Weights<'a>>>) -> Self {
        self.weights = weights.into();
        self
    }

    /// Sub-batches of the tensor. Judges of inference, and of backward through given statistics, do not look at them. They do
    /// not go with weights.
    pub fn with_sub_batches(mut self, sub_batches: impl Into<Option<SubBatches>>) -> Self {
        self.sub_batches = sub_batches.into();
        self
    }

    /// What comes after the normalization, and how the results are stored.
    pub fn with_epilogue(mut self, epilogue: Epilogue<'a>) -> Self {
        self.epilogue = epilogue;
        self
    }

    fn check_lengths(&self) -> Result<(), ShapeError> {
        check_tensor(&self.view, "x", self.x)?;
        self.parameters.check_lengths(&self.view)?;
        self.weights.map_or(Ok(()), |w| w.check(self.view.len()))?;
        let residual = self.epilogue.residual;
        residual.map_or(Ok(()), |r| check_tensor(&self.view, "residual", r))
    }

    /// What part each value has in statistics.
    fn shares(&self) -> Shares<'a> {
        Shares::of(&self.view, self.weights)
    }
}

/// What comes after the normalization, and how the results are stored.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Epilogue<'a> {
    /// How `y`, `dx` and `dresidual` are stored; inputs are as stored already.
    pub element: Element,
    /// After the residual.
    pub activation: Activation,
    /// In the input's shape.
    pub residual: Option<&'a [f32]>,
}

impl<'a> Epilogue<'a> {
    /// How the results are stored.
    pub fn with_element(mut self, element: Element) -> Self {
        self.element = element;
        self
    }

    /// What comes after the residual.
    pub fn with_activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// What was added before the activation, in the input's shape.
    pub fn with_residual(mut self, residual: impl Into<Option<&'a [f32]>>) -> Self {
        self.residual = residual.into();
        self
    }
}

impl Default for Epilogue<'_> {
    /// f32, nothing added, no activation.
    fn default() -> Self {
        Self {
            element: Element::F32,
            activation: Activation::None,
            residual: None,
        }
    }
}
