//! What a batch normalization is asked to do: options, presets, validation.

mod activation;

pub use activation::Activation;

use crate::element::Element;
use crate::error::{ConfigError, ShapeError};
use crate::shape::{View, resolve_axis};
use crate::weights::Broadcast;

/// How running statistics move at each counted batch.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Momentum {
    /// `new = (1 − momentum)·old + momentum·batch`: PyTorch's sense.
    Exponential(f32),
    /// `momentum = 1/k` at a channel's k-th counted batch: the plain average over all batches,
    /// the paper's population statistics.
    Cumulative,
}

impl Momentum {
    /// PyTorch's `momentum`: the weight of the new batch.
    pub fn new(momentum: f32) -> Self {
        Self::Exponential(momentum)
    }

    /// Keras's and TensorFlow's `momentum`, here called decay: the weight of the old value.
    pub fn from_decay(decay: f64) -> Self {
        Self::Exponential((1.0 - decay) as f32)
    }

    pub(crate) fn validate(self) -> Result<(), ConfigError> {
        match self {
            // A NaN is in no range.
            Self::Exponential(m) if !(0.0..=1.0).contains(&m) => {
                Err(ConfigError::Momentum { got: m })
            }
            _ => Ok(()),
        }
    }
}

/// Which batch variance goes into the running variance. The sum of squares is divided by m or by m − 1, and there is no
/// third estimate of the variance in use: this enum is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunningVariance {
    /// σ² = Σ(x−μ)²/m: Keras, ONNX, flax.
    Biased,
    /// σ²·m/(m−1): PyTorch, the paper's step 10, TensorFlow's fused kernel.
    Unbiased,
}

/// What running statistics do with a channel whose batch is not finite: one that holds NaN or infinity, or whose variance exceeds
/// f32. The channel's `y`, `dx` and `dweight` are NaN then, behind an activation its `dbias` too, and no other channel changes.
///
/// Devices hold Σ(x−μ)² in f32. A channel of m values where that sum exceeds 3.4e38 counts as not finite there, too, though its
/// variance is: from |x − μ| of about 1.8e19/√m on. The CPU path reaches further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NonFinite {
    /// They keep their value, and the batch does not count for that channel.
    Skip,
    /// They become NaN or infinite, as PyTorch's do.
    Propagate,
}

/// Which affine parameters there are. A missing weight is 1, a missing bias 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Affine {
    /// weight (γ) and bias (β).
    Both,
    /// weight alone.
    Weight,
    /// bias alone.
    Bias,
    /// neither.
    None,
}

impl Affine {
    /// Whether there is a weight.
    pub fn has_weight(self) -> bool {
        matches!(self, Self::Both | Self::Weight)
    }

    /// Whether there is a bias.
    pub fn has_bias(self) -> bool {
        matches!(self, Self::Both | Self::Bias)
    }
}

/// How a batch updates the running statistics. The statistics themselves are
/// [`RunningStatistics`](crate::RunningStatistics).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RunningUpdate {
    /// How fast they move.
    pub momentum: Momentum,
    /// Which variance goes in.
    pub variance: RunningVariance,
    /// What NaN and infinity do to them.
    pub non_finite: NonFinite,
}

impl RunningUpdate {
    /// How fast they move, which variance goes in, and what NaN and infinity do to them.
    pub fn new(momentum: Momentum, variance: RunningVariance, non_finite: NonFinite) -> Self {
        Self {
            momentum,
            variance,
            non_finite,
        }
    }
}

/// The options of a batch normalization; start from a preset and change what differs.
///
/// ```
/// use wgpu_batchnorm::{Affine, Config, Momentum};
/// let config = Config::pytorch()
///     .with_axis(-1)
///     .with_eps(1e-3)
///     .with_momentum(Momentum::Cumulative)
///     .with_affine(Affine::Weight);
/// assert!(config.validate().is_ok());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// The channel axis; negative counts from the end.
    pub axis: isize,
    /// Added to the variance under the square root.
    pub eps: f32,
    /// Which of weight and bias exist.
    pub affine: Affine,
    /// How running statistics are updated; `None` where none are kept.
    pub running: Option<RunningUpdate>,
    /// How `x`, `y`, `dy`, `dx` and residuals are stored, for plans; a layer takes tensors as they are.
    pub element: Element,
    /// What comes after the normalization and the residual.
    pub activation: Activation,
    /// Whether a tensor of rank 1 is taken, as the values of one channel.
    pub vectors: bool,
}

impl Config {
    /// PyTorch's numbers: axis 1, eps 1e-5, momentum 0.1, unbiased running variance.
    pub fn pytorch() -> Self {
        Self::preset(1, 1e-5, Momentum::new(0.1), RunningVariance::Unbiased)
    }

    /// Keras's numbers: axis −1, eps 1e-3, decay 0.99, biased running variance.
    pub fn keras() -> Self {
        Self::preset(
            -1,
            1e-3,
            Momentum::from_decay(0.99),
            RunningVariance::Biased,
        )
    }

    /// ONNX's numbers: axis 1, eps 1e-5, decay 0.9, biased running variance. As with ONNX's operator, a tensor of rank 1 is
    /// one channel.
    pub fn onnx() -> Self {
        Self {
            vectors: true,
            ..Self::preset(1, 1e-5, Momentum::from_decay(0.9), RunningVariance::Biased)
        }
    }

    fn preset(axis: isize, eps: f32, momentum: Momentum, variance: RunningVariance) -> Self {
        Self {
            axis,
            eps,
            affine: Affine::Both,
            running: Some(RunningUpdate {
                momentum,
                variance,
                non_finite: NonFinite::Skip,
            }),
            element: Element::F32,
            activation: Activation::None,
            vectors: false,
        }
    }

    /// How a tensor of this shape is seen: around its channel axis, or as one channel where it is of rank 1 and
    /// [`Config::vectors`] takes such.
    ///
    /// # Errors
    /// As [`View::new`].
    pub fn view(&self, shape: &[usize]) -> Result<View, ShapeError> {
        match (self.vectors, shape) {
            (true, &[len]) => View::new(&[len, 1], 1),
            _ => View::new(shape, self.axis),
        }
    }

    /// Where weights of this shape lie beside a tensor of `shape`.
    pub(crate) fn places_of(
        &self,
        shape: &[usize],
        weights: &[usize],
    ) -> Result<Broadcast, ShapeError> {
        // A vector is one channel.
        let axis = match (self.vectors, shape) {
            (true, [_]) => None,
            _ => Some(resolve_axis(shape, self.axis)?),
        };
        Broadcast::new(shape, |k| Some(k) == axis, weights)
    }

    /// Sets the channel axis; negative counts from the end.
    pub fn with_axis(mut self, axis: isize) -> Self {
        self.axis = axis;
        self
    }

    /// Sets `eps`.
    pub fn with_eps(mut self, eps: f32) -> Self {
        self.eps = eps;
        self
    }

    /// Sets which affine parameters there are.
    pub fn with_affine(mut self, affine: Affine) -> Self {
        self.affine = affine;
        self
    }

    /// Sets how fast running statistics move; no effect where none are kept.
    pub fn with_momentum(mut self, momentum: Momentum) -> Self {
        if let Some(running) = &mut self.running {
            running.momentum = momentum;
        }
        self
    }

    /// Sets which variance goes into the running variance; no effect where none is kept.
    pub fn with_running_variance(mut self, variance: RunningVariance) -> Self {
        if let Some(running) = &mut self.running {
            running.variance = variance;
        }
        self
    }

    /// Sets what NaN and infinity do to running statistics; no effect where none are kept.
    pub fn with_non_finite(mut self, non_finite: NonFinite) -> Self {
        if let Some(running) = &mut self.running {
            running.non_finite = non_finite;
        }
        self
    }

    /// Sets how `x`, `y`, `dy`, `dx` and residuals are stored, for plans: a layer takes tensors as they
    /// are.
    pub fn with_element(mut self, element: Element) -> Self {
        self.element = element;
        self
    }

    /// Sets what comes after the normalization and the residual.
    pub fn with_activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// Sets whether a tensor of rank 1 is taken, as the values of one channel.
    pub fn with_vectors(mut self, vectors: bool) -> Self {
        self.vectors = vectors;
        self
    }

    /// Keeps no running statistics: both modes normalize with the batch's own.
    pub fn without_running(mut self) -> Self {
        self.running = None;
        self
    }

    /// Checks the options that hold for every operation.
    ///
    /// # Errors
    /// `eps` negative or not finite; momentum outside [0, 1] or not finite; an activation's number that does not fit it.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !(self.eps.is_finite() && self.eps >= 0.0) {
            return Err(ConfigError::Eps { got: self.eps });
        }
        self.activation.validate()?;
        self.running.map_or(Ok(()), |r| r.momentum.validate())
    }

    /// Checks what training on `view` needs beyond [`Config::validate`].
    ///
    /// # Errors
    /// `eps` below the smallest normal f32; one value per channel where the running variance is
    /// unbiased or none is kept.
    pub fn validate_training(&self, view: &View) -> Result<(), ConfigError> {
        self.validate_training_part(view, view.count() as f64)
    }

    /// The same where `view` is a part of a batch of `count` values per channel.
    pub(crate) fn validate_training_part(
        &self,
        view: &View,
        count: f64,
    ) -> Result<(), ConfigError> {
        self.validate()?;
        if self.eps < f32::MIN_POSITIVE {
            return Err(ConfigError::TrainingEps { got: self.eps });
        }
        let least = view.count() as u64;
        if count < least as f64 {
            let got = count as u64;
            return Err(ConfigError::Count { got, least });
        }
        let biased = |r: RunningUpdate| r.variance == RunningVariance::Biased;
        if count == 1.0 && !self.running.is_some_and(biased) {
            return Err(ConfigError::OneValuePerChannel {
                outer: view.outer(),
                channels: view.channels(),
                inner: view.inner(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_out_of_range_are_refused() {
        let config = Config::pytorch();
        for eps in [-1e-5, f32::NAN, f32::INFINITY] {
            assert!(config.with_eps(eps).validate().is_err(), "{eps}");
        }
        assert!(config.with_eps(0.0).validate().is_ok());
        for momentum in [-0.1, 1.1, f32::NAN, f32::INFINITY] {
            let config = config.with_momentum(Momentum::new(momentum));
            assert!(config.validate().is_err(), "{momentum}");
        }
        assert!(
            config
                .with_momentum(Momentum::Cumulative)
                .validate()
                .is_ok()
        );
        assert_eq!(Momentum::from_decay(0.99), Momentum::new(0.01));
    }

    #[test]
    fn training_needs_eps_and_two_values() {
        let one = View::new(&[1, 3], 1).unwrap();
        let two = View::new(&[2, 3], 1).unwrap();
        let config = Config::pytorch();
        assert!(config.validate_training(&two).is_ok());
        assert!(config.with_eps(0.0).validate_training(&two).is_err());
        assert!(config.with_eps(1e-39).validate_training(&two).is_err());
        assert!(config.validate_training(&one).is_err());
        assert!(config.without_running().validate_training(&one).is_err());
        assert!(Config::keras().validate_training(&one).is_ok());
    }
}
