//! Weights on the device.

use wgpu::BufferSlice;

use super::Plan;
use crate::error::ShapeError;
use crate::operation::{Asked, AskedWeights};
use crate::weights::{Broadcast, Outside};

/// Weights of values on the device: see [`Weights`](crate::Weights), which says what they mean.
///
/// On the device nobody sees them before the kernels do. One that is negative or not finite makes every channel NaN, as a
/// value that is not finite does. Where their sum W is 0, or, with an unbiased running variance, no more than 1,
/// running statistics stay and the batch does not count.
#[derive(Clone, Copy, Debug)]
pub struct WeightsBuffer<'a> {
    pub(crate) values: BufferSlice<'a>,
    pub(crate) shape: &'a [usize],
    pub(crate) outside: Outside,
}

impl<'a> WeightsBuffer<'a> {
    /// f32 of `shape`, row-major, which is 1 on the channel axis and, on each other, 1 or as long as `x`; shapes are aligned
    /// from the right. Read where they lie, never copied.
    pub fn new(values: BufferSlice<'a>, shape: &'a [usize], outside: Outside) -> Self {
        Self {
            values,
            shape,
            outside,
        }
    }
}

impl Asked {
    /// With these weights. Where the batch moves no statistics they tell padding alone, and without padding nothing.
    pub(super) fn with_weights(
        mut self,
        plan: &Plan,
        weights: Option<&WeightsBuffer<'_>>,
        moves: bool,
    ) -> Result<Self, ShapeError> {
        if let Some(weights) = weights {
            let places = plan.config.places_of(&plan.shape, weights.shape)?;
            self.weights = asked(places, weights.outside, moves);
        }
        Ok(self)
    }

    /// What warming up asks for: with weights, wherever they lie.
    pub(super) fn with_some_weights(mut self, outside: Option<Outside>, moves: bool) -> Self {
        self.weights = outside.and_then(|outside| asked(Broadcast::SAME, outside, moves));
        self
    }
}

fn asked(places: Broadcast, outside: Outside, moves: bool) -> Option<AskedWeights> {
    (moves || outside == Outside::Zero).then_some(AskedWeights {
        places,
        outside,
        per_weight: false,
    })
}
