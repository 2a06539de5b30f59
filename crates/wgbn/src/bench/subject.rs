//! One shape on one device: what is timed, and what it wrote.

use super::op::Op;
use super::results::Results;
use super::sample::Effort;
use super::timer::Timing;
use crate::failure::Failure;

/// A device with its tensors of one shape.
pub trait Subject {
    /// Sets of tensors gone round.
    fn sets(&self) -> usize;

    fn time(&mut self, op: Op, effort: Effort) -> Result<Timing, Failure>;

    /// Runs once more, from the inputs' own state into cleared tensors, and reads what came out.
    fn results(&mut self, op: Op) -> Result<Results, Failure>;
}
