//! Sub-batches: each is judged as a batch of its own.

use super::{Epilogue, Finding, Input};
use crate::error::ShapeError;
use crate::sub_batches::SubBatches;

impl Input<'_> {
    /// The sub-batches, of which there is one where none were set.
    pub(super) fn cut(&self) -> Result<SubBatches, ShapeError> {
        let Some(sub_batches) = self.sub_batches else {
            return Ok(SubBatches::whole(self.view));
        };
        if self.weights.is_some() {
            return Err(ShapeError::WeightedSubBatches);
        }
        sub_batches.check(&self.view)?;
        Ok(sub_batches)
    }

    /// What an operation on one sub-batch reads.
    pub(super) fn part(&self, sub_batches: &SubBatches, index: usize) -> Self {
        let range = sub_batches.range(index);
        let residual = self.epilogue.residual;
        Self {
            view: sub_batches.view(index),
            x: &self.x[range.clone()],
            epilogue: Epilogue {
                residual: residual.map(|residual| &residual[range]),
                ..self.epilogue
            },
            sub_batches: None,
            ..*self
        }
    }
}

/// Keeps the worse of each finding of the parts before and of one that begins at `start`. Each part has the same findings.
pub(super) fn keep_worse(worst: &mut Vec<Finding>, part: Vec<Finding>, start: usize) {
    for (k, mut finding) in part.into_iter().enumerate() {
        finding.index += start;
        match worst.get_mut(k) {
            None => worst.push(finding),
            Some(worst) if finding.error > worst.error => *worst = finding,
            Some(_) => {}
        }
    }
}
