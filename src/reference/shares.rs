//! What part each value has in statistics.

use crate::config::{RunningUpdate, RunningVariance};
use crate::error::ShapeError;
use crate::shape::View;
use crate::weights::{Outside, Weights};

/// What part each value has in the statistics of its channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shares<'a> {
    weights: Option<Weights<'a>>,
    /// W; the number of values where there are no weights, NaN where one of them is none.
    pub(crate) total: f64,
}

impl<'a> Shares<'a> {
    /// Of weights for a tensor of this view, as [`Weights::check`] has found; without them each value counts once.
    pub(crate) fn of(view: &View, weights: Option<Weights<'a>>) -> Self {
        let total = match weights {
            None => view.count() as f64,
            Some(weights) if weights.first_invalid().is_some() => f64::NAN,
            Some(weights) => weights.sum(),
        };
        Self { weights, total }
    }

    /// Of weights that were not checked before.
    pub(super) fn checked(view: &View, weights: &Weights<'a>) -> Result<Self, ShapeError> {
        weights.check(view.len())?;
        Ok(Self::of(view, Some(*weights)))
    }

    /// w of the value at `index`.
    pub(crate) fn weight(&self, index: usize) -> f64 {
        self.weights.map_or(1.0, |w| f64::from(w.of(index)))
    }

    /// Whether the value at `index` is in the statistics.
    pub(crate) fn counts(&self, index: usize) -> bool {
        self.weight(index) != 0.0
    }

    /// Whether the value at `index` is padding.
    pub(crate) fn is_padding(&self, index: usize) -> bool {
        self.weights.is_some_and(|w| w.is_padding(index))
    }

    /// Whether there is nothing but padding, or nothing at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.total == 0.0 && self.weights.is_none_or(|w| w.outside() == Outside::Zero)
    }

    /// Whether running statistics stay as they are, whatever the values are: no batch, or one whose W has no unbiased
    /// variance.
    pub(crate) fn moves_nothing(&self, running: RunningUpdate) -> bool {
        let unbiased = running.variance == RunningVariance::Unbiased;
        self.total == 0.0 || (self.weights.is_some() && unbiased && self.total <= 1.0)
    }
}
