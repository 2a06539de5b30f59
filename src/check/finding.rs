//! What a comparison found.

use super::{POISON, is_poison};
use crate::error::CheckError;

/// The tensor that a finding of a canary names.
const CANARY: &str = "canary";

/// The worst error of one tensor.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Finding {
    /// The tensor's name.
    pub tensor: &'static str,
    /// The worst error over its scale; infinite where finite and non-finite values disagree.
    pub error: f64,
    /// The largest error that is allowed.
    pub bound: f64,
    /// Where the worst is: an element index, or a channel for per-channel tensors.
    pub index: usize,
    /// The value there.
    pub got: f32,
    /// The value the reference has there.
    pub expected: f64,
}

impl Finding {
    /// A finding that fails: what `tensor` holds at `index`, and what it should hold.
    /// [`with_error`](Self::with_error) sets how far off it is, and how far it may be.
    pub fn new(tensor: &'static str, index: usize, got: f32, expected: f64) -> Self {
        Self {
            tensor,
            error: f64::INFINITY,
            bound: 0.0,
            index,
            got,
            expected,
        }
    }

    /// The error over its scale, and the largest that is allowed.
    pub fn with_error(mut self, error: f64, bound: f64) -> Self {
        (self.error, self.bound) = (error, bound);
        self
    }

    /// Compares what the device holds with what the host uploaded, bit for bit. Returns a finding that
    /// fails, at the first place that differs, or `None`.
    pub fn held(tensor: &'static str, held: &[f32], given: &[f32]) -> Option<Self> {
        let mut pairs = held.iter().zip(given);
        let differs = pairs.position(|(held, given)| held.to_bits() != given.to_bits());
        let short = (held.len() != given.len()).then(|| held.len().min(given.len()));
        let index = differs.or(short)?;
        let value = |values: &[f32]| values.get(index).copied().unwrap_or(f32::NAN);
        Some(Self::new(tensor, index, value(held), value(given).into()))
    }

    /// A finding beyond any bound, where a value still holds [`POISON`]. The judges look for it in what they
    /// are given. Call this for values that a computation uses before they are judged.
    pub fn unwritten(tensor: &'static str, values: &[f32]) -> Option<Self> {
        let index = values.iter().position(|&v| is_poison(v))?;
        Some(Self::new(tensor, index, POISON, f64::NAN))
    }

    /// The finding for a device that did not execute the canary of the submission that is checked: beyond any
    /// bound, of a tensor named "canary".
    pub fn unexecuted() -> Self {
        Self::new(CANARY, 0, f32::NAN, f64::NAN)
    }

    /// Whether the error is within its bound.
    pub fn passed(&self) -> bool {
        self.error <= self.bound
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            tensor,
            error,
            bound,
            index,
            got,
            expected,
        } = self;
        if is_poison(*got) {
            return write!(f, "{tensor}[{index}] was never written");
        }
        if *tensor == CANARY {
            return write!(
                f,
                "the device did not execute a kernel of the same submission"
            );
        }
        if *bound == 0.0 && error.is_infinite() && expected.is_nan() {
            return write!(
                f,
                "{tensor}[{index}] is {got:e}, expected the pattern that was uploaded"
            );
        }
        if *bound == 0.0 && error.is_infinite() {
            return write!(f, "{tensor}[{index}] is {got:e}, expected {expected:e}");
        }
        write!(
            f,
            "{tensor}[{index}] is {got:e}, expected {expected:e}: error {error:.1e} of its scale, bound {bound:.1e}"
        )
    }
}

/// The findings of one operation, a tensor each.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// One per tensor.
    pub findings: Vec<Finding>,
}

impl From<Vec<Finding>> for Report {
    fn from(findings: Vec<Finding>) -> Self {
        Self { findings }
    }
}

impl Report {
    /// Whether every tensor is within its bound.
    pub fn passed(&self) -> bool {
        self.findings.iter().all(Finding::passed)
    }

    /// The finding closest to its bound, or furthest beyond it.
    pub fn worst(&self) -> Option<&Finding> {
        // Of no error, a bound of 0 makes no NaN.
        let ratio = |f: &Finding| match f.error {
            0.0 => 0.0,
            error => error / f.bound,
        };
        self.findings
            .iter()
            .max_by(|a, b| ratio(a).total_cmp(&ratio(b)))
    }

    /// An error where a tensor is beyond its bound.
    ///
    /// # Errors
    /// The worst finding.
    pub fn enforce(&self) -> Result<(), CheckError> {
        match self.worst() {
            Some(worst) if !self.passed() => Err(CheckError {
                tensor: worst.tensor,
                index: worst.index,
                error: worst.error,
                bound: worst.bound,
                finding: worst.to_string(),
            }),
            _ => Ok(()),
        }
    }
}
